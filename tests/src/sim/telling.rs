//! Events: what the server tells of a commit, and what clients make of it.

use rand::RngExt;
use rejoin::{Cursor, session::Hint};
use rejoin_server::event_since;

use super::{
    invariant::Checked,
    strikes::Fault,
    world::{Event, Telling, World},
};

impl World {
    /// What the log gained is noted, and told.
    pub(super) fn committed(&mut self, document: usize) -> Checked {
        let id = self.documents[document];
        let before = self.ledger.log(id).end.clone();
        self.ledger.follow(&mut self.server, id, self.now)?;
        self.tell(document, before.as_ref());
        Ok(())
    }

    /// Tells every client that listens: one that runs and has a network.
    fn tell(&mut self, document: usize, before: Option<&Cursor>) {
        let id = self.documents[document];
        let Some(event) = event_since(&mut self.server, id, before).unwrap() else { return };
        for client in 0..self.clients.len() {
            let it = &self.clients[client];
            if !it.is_up() || it.partitioned || !it.joined[document] || self.hit(Fault::EventLost) {
                continue;
            }
            let telling = Telling { client, life: self.clients[client].life, document, event: event.clone() };
            if self.hit(Fault::EventTwice) {
                self.within(3_000, Event::Told(Box::new(telling.clone())));
            }
            let late = self.hit(Fault::EventLate);
            let latency = self.rng.random_range(if late { 1_000..45_000 } else { 5..120 });
            self.after(latency, Event::Told(Box::new(telling)));
        }
    }

    pub(super) fn told(&mut self, telling: Telling) -> Checked {
        let (client, document) = (telling.client, telling.document);
        let now = self.now_of(client);
        let it = &mut self.clients[client];
        it.set_wall(self.now);
        let (Some(core), true) = (it.core.as_mut(), it.life == telling.life) else { return Ok(()) };
        if it.partitioned || !it.joined[document] {
            return Ok(());
        }
        let slot = &mut it.slots[document];
        if slot.flight.is_some() {
            // The driver asks one thing at a time: an event waits for the reply.
            slot.heard.push(telling);
            return Ok(());
        }
        let taken = core.take_event(&mut slot.session, &telling.event, now, &mut self.rng);
        match taken {
            Ok(Hint::Known) => Ok(()),
            Ok(hint) => {
                self.log(format!("c{client} d{document} event: {hint:?}"));
                self.drive_within(client, document, 5, hint == Hint::Pull);
                self.check_client(client)
            }
            Err(error) => self.verb_failed(client, document, error),
        }
    }
}
