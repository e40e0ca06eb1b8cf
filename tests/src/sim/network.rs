//! A request on its way, and its reply.

use std::time::Duration;

use rand::RngExt;
use rejoin::{
    session::Ticket,
    wire::{CHANGES, JSON, Request, Response, TransportError},
};
use rejoin_server::respond;

use super::{
    client::EPOCH,
    invariant::Checked,
    strikes::Fault,
    world::{Event, Flight, Landing, World},
};

/// A client waits so long for a reply, in milliseconds.
const DEADLINE: i64 = 30_000;
/// The server packs what it holds before each of so many requests.
const PACK_EVERY: u64 = 5;

impl World {
    pub(super) fn send(
        &mut self,
        client: usize,
        document: usize,
        request: Request,
        ticket: Ticket,
    ) -> Checked {
        let number = self.next_flight();
        let it = &mut self.clients[client];
        it.slots[document].flight = Some(number);
        let flight = Flight { number, client, life: it.life, document, request, ticket, sent_at: self.now };
        let what = describe(&flight.request);
        self.log(format!("c{client} d{document} #{number} {what}"));
        if self.clients[client].partitioned || !self.server_up {
            return self.reply_within(
                300,
                &flight,
                Err(TransportError::NoConnection("unreachable".to_owned())),
            );
        }
        if self.hit(Fault::CaptivePortal) {
            let page = self.portal();
            return self.reply_within(300, &flight, Ok(page));
        }
        if self.hit(Fault::Busy) {
            let busy = self.busy();
            return self.reply_within(300, &flight, Ok(busy));
        }
        if self.hit(Fault::RequestLost) {
            return self.no_reply(&flight);
        }
        if self.hit(Fault::RequestTwice) {
            self.fly(flight.clone());
        }
        self.fly(flight);
        Ok(())
    }

    /// Whether this fault of the network strikes now.
    pub(super) fn hit(&mut self, fault: Fault) -> bool {
        let percent = self.climate.percent(fault);
        let hit = !self.calm && self.chance(percent);
        if hit {
            self.strikes.strike(fault);
            self.log(format!("{fault:?}"));
        }
        hit
    }

    fn latency(&mut self) -> i64 {
        if self.hit(Fault::Delay) {
            return self.rng.random_range(1_000..45_000);
        }
        self.rng.random_range(5..120)
    }

    fn fly(&mut self, flight: Flight) {
        let latency = self.latency();
        self.under_way += 1;
        if latency >= DEADLINE {
            let late = landing(&flight, Err(TransportError::TimedOut("no reply".to_owned())));
            self.after(DEADLINE, Event::Reply(Box::new(late)));
        }
        self.after(latency, Event::Arrive(Box::new(flight)));
    }

    fn reply_within(
        &mut self,
        milliseconds: i64,
        flight: &Flight,
        result: Result<Response, TransportError>,
    ) -> Checked {
        self.within(milliseconds, Event::Reply(Box::new(landing(flight, result))));
        Ok(())
    }

    fn no_reply(&mut self, flight: &Flight) -> Checked {
        let wait = (flight.sent_at + DEADLINE - self.now).max(1);
        let late = landing(flight, Err(TransportError::TimedOut("no reply".to_owned())));
        self.after(wait, Event::Reply(Box::new(late)));
        Ok(())
    }

    /// The server packs its logs behind, and nobody may notice. Not by chance: the seeds stay what they were.
    fn pack_behind(&mut self, flight: &Flight) {
        if flight.number.is_multiple_of(PACK_EVERY) {
            self.server.pack(1).unwrap();
        }
    }

    pub(super) fn arrive(&mut self, flight: Flight) -> Checked {
        self.under_way -= 1;
        let broken = || Err(TransportError::Broken("reset".to_owned()));
        if self.clients[flight.client].partitioned {
            return self.no_reply(&flight);
        }
        if !self.server_up {
            return self.reply_within(100, &flight, broken());
        }
        if self.hit(Fault::ServerCrash) {
            self.crash_server();
            return self.reply_within(100, &flight, broken());
        }
        self.pack_behind(&flight);
        let mut reply = respond(&mut self.server, &self.server_limits, &flight.request, EPOCH + self.now);
        let (client, number, status) = (flight.client, flight.number, reply.status);
        self.log(format!("server c{client} #{number} {}: {status}", describe(&flight.request)));
        self.committed(flight.document)?;
        self.check_reply(&flight, &reply)?;
        if self.hit(Fault::ServerCrash) {
            self.crash_server();
            return self.reply_within(100, &flight, broken());
        }
        if self.hit(Fault::ReplyLost) {
            return self.no_reply(&flight);
        }
        if self.hit(Fault::CaptivePortal) {
            reply = self.portal();
        }
        if self.hit(Fault::CutReply) {
            match self.cut(reply) {
                Some(cut) => reply = cut,
                None => return self.reply_within(200, &flight, broken()),
            }
        }
        self.send_reply(&flight, reply);
        Ok(())
    }

    fn send_reply(&mut self, flight: &Flight, reply: Response) {
        let latency = self.latency();
        if flight.sent_at + DEADLINE < self.now + latency {
            let wait = (flight.sent_at + DEADLINE - self.now).max(1);
            let late = landing(flight, Err(TransportError::TimedOut("no reply".to_owned())));
            self.after(wait, Event::Reply(Box::new(late)));
        }
        let reply = landing(flight, Ok(reply));
        if self.hit(Fault::ReplyTwice) {
            self.within(2_000, Event::Reply(Box::new(reply.clone())));
        }
        self.after(latency, Event::Reply(Box::new(reply)));
    }

    /// A body that ends too soon, inside of a chunk or a text; `None` where the connection says so itself.
    fn cut(&mut self, reply: Response) -> Option<Response> {
        let length = reply.body.len();
        if length < 4 || self.chance(30) {
            return None;
        }
        let chunks = reply.media_type == CHANGES;
        // The beginnings of chunks: a body that ends there is whole, and its length is the transport's to check.
        let starts: Vec<usize> =
            (0..length).filter(|at| reply.body[*at..].starts_with(&[0x85, 0x6f, 0x4a, 0x83])).collect();
        let mut at = self.rng.random_range(1..length);
        while chunks && starts.contains(&at) {
            at -= 1;
        }
        let mut reply = reply;
        reply.body.truncate(at);
        (at > 0).then_some(reply)
    }

    /// Somebody else's page.
    fn portal(&mut self) -> Response {
        let html = b"<!DOCTYPE html><html><body>Please log in to the hotel's network</body></html>".to_vec();
        let (status, media_type, body) = match self.rng.random_range(0..5) {
            0 => (200, JSON, html),
            1 => (200, CHANGES, html),
            2 => (200, CHANGES, Vec::new()),
            3 => (302, "text/html", html),
            _ => (200, "text/html", html),
        };
        Response { status, media_type: media_type.to_owned(), body, ..Response::default() }
    }

    fn busy(&mut self) -> Response {
        let status = if self.chance(50) { 429 } else { 503 };
        let retry_after = Some(Duration::from_secs(self.rng.random_range(1..20)));
        Response { status, media_type: "text/html".to_owned(), retry_after, ..Response::default() }
    }
}

fn landing(flight: &Flight, result: Result<Response, TransportError>) -> Landing {
    let Flight { number, client, life, document, ticket, .. } = flight.clone();
    Landing { number, client, life, document, ticket, result }
}

/// A request in a few words.
fn describe(request: &Request) -> String {
    let position = |after: &Option<rejoin::Cursor>| {
        after.as_ref().map_or("0".to_owned(), |c| c.as_str().split('.').next().unwrap_or_default().to_owned())
    };
    match request {
        Request::Push { after, body, .. } => {
            let count = rejoin::fence::frame(body).map_or(0, |frames| frames.len());
            format!("push {count} after {}", position(after))
        }
        Request::Pull { after, .. } => format!("pull after {}", position(after)),
        Request::Snapshot { .. } => "snapshot".to_owned(),
        Request::Missing { hashes, .. } => format!("missing {}", hashes.len()),
        Request::Delete { .. } => "delete".to_owned(),
        Request::Pushers { after, .. } => format!("pushers after {}", position(after)),
    }
}
