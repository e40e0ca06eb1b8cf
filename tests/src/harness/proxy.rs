//! A proxy between clients and a server, which counts and cuts what passes.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Bytes on the wire: what HTTP costs, without TCP's own headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// From clients to the server.
    pub up: u64,
    /// From the server to clients.
    pub down: u64,
    /// Connections made.
    pub connections: u64,
    /// Times that a client spoke after the server had: requests, where they are not sent ahead.
    pub requests: u64,
}

/// A TCP proxy on loopback whose address stays while servers behind it come and go. It counts; it can cut what
/// is open, hold everything back, or let bytes wait.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
}

#[derive(Debug, Default)]
struct Shared {
    target: Mutex<Option<String>>,
    up: AtomicU64,
    down: AtomicU64,
    connections: AtomicU64,
    requests: AtomicU64,
    unanswered: AtomicU64,
    delay_us: AtomicU64,
    held: Mutex<bool>,
    released: Condvar,
    open: Mutex<HashMap<u64, Link>>,
    ended: Condvar,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Link {
    client: TcpStream,
    server: TcpStream,
    /// The client spoke last: a request has gone to the server, and nothing of an answer has come back.
    asked: bool,
}

impl Proxy {
    /// A proxy to this `ADDR:PORT`.
    pub fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared::default());
        *lock(&shared.target) = Some(target.to_owned());
        let own = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &own));
        Self { shared, address }
    }

    /// Its base address, for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on new connections go there; `None` refuses them.
    pub fn set_target(&self, target: Option<&str>) {
        *lock(&self.shared.target) = target.map(str::to_owned);
    }

    /// Everything so far.
    pub fn counts(&self) -> Counts {
        let get = |n: &AtomicU64| n.load(Ordering::SeqCst);
        let s = &self.shared;
        Counts {
            up: get(&s.up),
            down: get(&s.down),
            connections: get(&s.connections),
            requests: get(&s.requests),
        }
    }

    /// Begins to count anew.
    pub fn reset(&self) {
        for n in [&self.shared.up, &self.shared.down, &self.shared.connections, &self.shared.requests] {
            n.store(0, Ordering::SeqCst);
        }
    }

    /// How many requests have gone to the server of which nothing has come back. One that is being answered is
    /// not counted: the number is rather too low.
    pub fn open_requests(&self) -> usize {
        lock(&self.shared.open).values().filter(|link| link.asked).count()
    }

    /// How many connections ended so far with a request of which nothing had come back.
    pub fn unanswered(&self) -> u64 {
        self.shared.unanswered.load(Ordering::SeqCst)
    }

    /// After the server has died: waits until every connection to it has ended here, too.
    pub fn wait_closed(&self) {
        let open = lock(&self.shared.open);
        let patience = Duration::from_secs(10);
        let waited = self.shared.ended.wait_timeout_while(open, patience, |open| !open.is_empty());
        let (open, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        assert!(open.is_empty(), "a connection outlives its server");
    }

    /// Lets each piece wait so long before it goes on.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.delay_us.store(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Holds everything back, or lets it go on.
    pub fn hold(&self, held: bool) {
        *lock(&self.shared.held) = held;
        self.shared.released.notify_all();
    }

    /// Cuts every open connection. None of them has an open request from now on.
    pub fn cut(&self) {
        for (_, link) in lock(&self.shared.open).drain() {
            self.shared.end(&link);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.hold(false);
        self.cut();
        // The accepting thread sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn end(&self, link: &Link) {
        self.unanswered.fetch_add(u64::from(link.asked), Ordering::SeqCst);
        link.close();
        self.ended.notify_all();
    }
}

impl Link {
    fn close(&self) {
        // Either may be gone already.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (number, client) in listener.incoming().enumerate() {
        if shared.closed.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        let target = lock(&shared.target).clone();
        // Without a server behind it the connection just ends.
        let Some(server) = target.and_then(|t| TcpStream::connect(t).ok()) else { continue };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        join(shared, number as u64, &client, &server);
    }
}

fn join(shared: &Arc<Shared>, number: u64, client: &TcpStream, server: &TcpStream) {
    let clone = |s: &TcpStream| s.try_clone().expect("a socket can be cloned");
    let link = Link { client: clone(client), server: clone(server), asked: false };
    lock(&shared.open).insert(number, link);
    for (up, from, to) in [(true, clone(client), clone(server)), (false, clone(server), clone(client))] {
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            pump(&shared, (number, up), from, to);
            let link = lock(&shared.open).remove(&number);
            if let Some(link) = link {
                shared.end(&link);
            }
        });
    }
}

fn pump(shared: &Shared, (number, up): (u64, bool), mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = match from.read(&mut buffer) {
            Ok(n) if n > 0 => n,
            _ => return,
        };
        let delay = shared.delay_us.load(Ordering::SeqCst);
        if delay > 0 {
            thread::sleep(Duration::from_micros(delay));
        }
        let mut held = lock(&shared.held);
        while *held && !shared.closed.load(Ordering::SeqCst) {
            held = shared.released.wait(held).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        // Under the lock: while everything is held back, what is noted stays as it is.
        note(shared, number, up, n);
        drop(held);
        let Some(bytes) = buffer.get(..n) else { return };
        if to.write_all(bytes).is_err() {
            return;
        }
    }
}

fn note(shared: &Shared, number: u64, up: bool, n: usize) {
    let count = if up { &shared.up } else { &shared.down };
    count.fetch_add(n as u64, Ordering::SeqCst);
    if let Some(link) = lock(&shared.open).get_mut(&number) {
        if up && !link.asked {
            shared.requests.fetch_add(1, Ordering::SeqCst);
        }
        link.asked = up;
    }
}
