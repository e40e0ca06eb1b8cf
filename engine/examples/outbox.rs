//! An outbox of effects against a real HTTP server that fails on purpose: `cargo run --example outbox`.
//!
//! A shop takes orders over HTTP. It is broken at first, then overloaded, wants to know who asks, and refuses some
//! for good. In the middle the app is closed and opened again. Each order is in the document at once, is sent under
//! one key until it is settled, and is recorded once. It runs by itself, checks what it shows, and ends in seconds.
#![allow(clippy::print_stdout, reason = "an example tells what it does")]

use std::{
    error::Error,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rejoin::{
    Action, DocumentId, Store, Token,
    effects::{
        Effect, EffectHandlers, EffectOptions, EffectRequest, EffectState, FollowUp, HttpEffects, Schedule,
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result {
    let shop = Shop::open().await?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("orders.db");

    println!("Five things are ordered. Nobody waits for the shop: the document has them at once.");
    let app = App::open(&path, &shop).await?;
    for thing in ["tent", "stove", "lamp", "boat", "rope"] {
        app.order(thing).await?;
    }
    assert_eq!(app.read("/boat").await?, "ordered");
    println!("  {}", app.read("").await?);

    println!("\nThe shop is broken at first. The app sends until the tent is confirmed; then it is closed.");
    app.run_until(|effects| state(effects, "tent") == EffectState::Done).await?;
    app.show().await?;
    drop(app);

    println!("\nOpened again, it goes on where it was: keys, attempts and times are in the file.");
    let app = App::open(&path, &shop).await?;
    app.run_until(|effects| effects.iter().all(|e| e.state.is_settled() || e.state == EffectState::Held))
        .await?;
    app.show().await?;

    println!("\nThe stove is held: the shop wants to know who asks. We sign in, and let go what was held.");
    assert_eq!(state(&app.store.effects().await?, "stove"), EffectState::Held);
    app.signed_in.store(true, Ordering::SeqCst);
    assert_eq!(app.store.release_held_effects().await?, 1);
    app.run_until(|effects| state(effects, "stove") == EffectState::Done).await?;
    app.show().await?;

    println!("\nThe boat was refused for good: what the order wrote is taken back.");
    assert_eq!(app.read("/boat").await?, "on my list");
    println!("The rope was refused too, but somebody wrote there since, and that stays.");
    assert_eq!(app.read("/rope").await?, "two, please");
    let expected = json!({"tent": "number 1", "stove": "number 2", "lamp": "number 3",
        "boat": "on my list", "rope": "two, please"});
    assert_eq!(app.read("").await?, expected);
    println!("  {expected}");

    let (asked, mut sold) = shop.books();
    println!("\nThe shop was asked {asked} times, and sold each thing once: {}.", sold.join(", "));
    sold.sort_unstable();
    assert_eq!(sold, ["lamp", "stove", "tent"]);
    Ok(())
}

/// The app: a store, its one document, and whether somebody is signed in.
struct App {
    store: Store,
    orders: DocumentId,
    signed_in: Arc<AtomicBool>,
    shop: String,
}

impl App {
    async fn open(path: &Path, shop: &Shop) -> Result<Self> {
        let store = Store::open(path).await?;
        let orders = match store.find("orders").await {
            Ok(orders) => orders,
            Err(_) => store.create(None, Some("orders")).await?,
        };
        Ok(Self { store, orders, signed_in: Arc::default(), shop: shop.url.clone() })
    }

    async fn read(&self, path: &str) -> Result<Value> {
        Ok(self.store.state(self.orders, path).await?)
    }

    /// A thing is on the list first; ordering it is an action with an effect, in a lane of its own.
    async fn order(&self, thing: &str) -> Result {
        let path = format!("/{thing}");
        let write = |value: &str| Action::Set { path: path.clone(), value: value.into() };
        self.store.dispatch(self.orders, write("on my list")).await?;
        let request = json!({"method": "POST", "url": "/orders", "body": {"thing": thing}});
        // The action that is dispatched when the shop confirms, with the number out of its reply.
        let confirmed = FollowUp::new(json!({"type": "set", "path": path})).put("/body/number", "/value");
        let effect = EffectRequest::new("http", request).lane(thing).commit(confirmed).roll_back_guarded();
        self.store.dispatch_with(self.orders, write("ordered"), vec![effect]).await?;
        if thing == "rope" {
            self.store.dispatch(self.orders, write("two, please")).await?;
        }
        Ok(())
    }

    /// Runs the effects until they stand so, and no longer.
    async fn run_until(&self, reached: impl Fn(&[Effect]) -> bool) -> Result {
        let signed_in = Arc::clone(&self.signed_in);
        let token = move || Token::new(if signed_in.load(Ordering::SeqCst) { "ada" } else { "nobody" });
        let http = HttpEffects::new()?.base_url(&self.shop)?.token(token);
        // The engine's own delays begin with a second and go up to an hour; here nobody wants to wait.
        let quick = Schedule::of([50, 100, 200].map(Duration::from_millis));
        let options = EffectOptions::default().schedule(quick);
        let mut signal = self.store.effect_signal();
        let stop = async {
            while let Ok(effects) = self.store.effects().await {
                if reached(&effects) || signal.changed().await.is_err() {
                    break;
                }
            }
        };
        let run = self.store.run_effects(EffectHandlers::new().with("http", http), options, stop);
        Ok(tokio::time::timeout(Duration::from_secs(60), run).await??)
    }

    async fn show(&self) -> Result {
        for effect in self.store.effects().await? {
            let why = effect.last_error.map_or_else(String::new, |e| format!(", {e}"));
            println!("  {:<5} {:<8} tried {}{why}", effect.lane, effect.state.as_str(), effect.attempts);
        }
        Ok(())
    }
}

fn state(effects: &[Effect], thing: &str) -> EffectState {
    effects.iter().find(|e| e.lane == thing).map_or(EffectState::Dropped, |e| e.state)
}

/// The shop: a real server, which remembers each key it has seen, as receivers of such requests should.
struct Shop {
    url: String,
    books: Arc<Mutex<Books>>,
}

#[derive(Default)]
struct Books {
    asked: Vec<String>,
    sold: Vec<(String, String)>,
}

impl Shop {
    async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let books: Arc<Mutex<Books>> = Arc::default();
        let kept = Arc::clone(&books);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let books = Arc::clone(&kept);
                tokio::spawn(async move { serve(stream, &books).await });
            }
        });
        Ok(Self { url, books })
    }

    /// How often it was asked, and what it sold.
    fn books(&self) -> (usize, Vec<String>) {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        (books.asked.len(), books.sold.iter().map(|(_, thing)| thing.clone()).collect())
    }
}

impl Books {
    /// What it answers to the request with this head and body.
    fn answer(&mut self, head: &str, body: &Value) -> (u16, &'static str, Value) {
        let header = |name: &str| {
            let line = head.lines().find(|l| l.to_ascii_lowercase().starts_with(name));
            line.and_then(|l| l.split_once(": ")).map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        let thing = body["thing"].as_str().unwrap_or_default().to_owned();
        self.asked.push(thing.clone());
        let times = self.asked.iter().filter(|t| **t == thing).count();
        match (thing.as_str(), times) {
            ("tent", 1 | 2) => (500, "", json!({"title": "the shop is broken"})),
            ("lamp", 1) => (429, "retry-after: 1\r\n", json!({"title": "too many customers"})),
            ("stove", _) if header("authorization") != "Bearer ada" => {
                (401, "", json!({"title": "who asks?"}))
            }
            ("boat", _) => (409, "", json!({"title": "no boats left"})),
            ("rope", _) => (404, "", json!({"title": "no such thing"})),
            _ => {
                let key = header("idempotency-key");
                if self.sold.iter().all(|(known, _)| *known != key) {
                    self.sold.push((key, thing.clone()));
                }
                let number =
                    ["tent", "stove", "lamp"].iter().position(|t| *t == thing).unwrap_or_default() + 1;
                (201, "", json!({"number": format!("number {number}")}))
            }
        }
    }
}

/// One request and its answer: as little of HTTP as will do.
async fn serve(mut stream: TcpStream, books: &Mutex<Books>) -> Option<()> {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        stream.read_buf(&mut bytes).await.ok().filter(|n| *n > 0)?;
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if let Ok(body) = serde_json::from_str::<Value>(body) {
            break (head.to_owned(), body);
        }
    };
    let (status, extra, reply) = books.lock().unwrap_or_else(PoisonError::into_inner).answer(&head, &body);
    let reply = reply.to_string();
    let text = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\n{extra}content-length: {}\r\nconnection: close\r\n\r\n{reply}",
        reply.len()
    );
    stream.write_all(text.as_bytes()).await.ok()
}
