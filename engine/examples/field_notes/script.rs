//! Two people without a terminal: a real server, real keys, and screens that are printed and checked.

use std::{error::Error, net::SocketAddr, path::Path, time::Duration};

use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};
use rejoin::DocumentId;
use rejoin_server::{AppState, ServerConfig, serve};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

use crate::{
    device::{self, Options},
    session::Session,
    state::{App, Message},
    view::status_line,
};

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// A server that can be away for a while.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(place: &Path, at: &str) -> Outcome<Self> {
        let listener = TcpListener::bind(at).await?;
        let address = listener.local_addr()?;
        let state = AppState::open(ServerConfig::new(place.join("server.db")))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(serve(listener, state, async { drop(stopped.await) }));
        Ok(Self { address, stop, serving })
    }

    /// The address to come back to.
    async fn stop(self) -> Outcome<String> {
        drop(self.stop);
        self.serving.await??;
        Ok(self.address.to_string())
    }
}

struct Person(Session<TestBackend>);

impl Person {
    async fn sits_down(
        place: &Path,
        author: &str,
        (server, join): (Option<String>, Option<DocumentId>),
    ) -> Outcome<Self> {
        let store = place.join(format!("{author}.db"));
        let author = Some(author.to_owned());
        let options = Options { store, server, join, author, poll: Duration::from_millis(50) };
        let (device, app, inbox) = device::open(&options).await?;
        let mut session = Session { app, device, terminal: Terminal::new(TestBackend::new(92, 16))?, inbox };
        session.draw()?;
        Ok(Self(session))
    }

    async fn press(&mut self, keys: &[KeyCode]) -> Outcome {
        for key in keys {
            self.0.take(Message::Key(KeyEvent::new(*key, KeyModifiers::NONE))).await;
        }
        self.0.draw()
    }

    async fn types(&mut self, text: &str) -> Outcome {
        let keys: Vec<KeyCode> = text.chars().map(KeyCode::Char).collect();
        self.press(&keys).await
    }

    async fn writes(&mut self, title: &str, body: &str) -> Outcome {
        self.types("n").await?;
        self.types(title).await?;
        self.press(&[KeyCode::Enter]).await?;
        self.types(body).await?;
        self.press(&[KeyCode::Esc]).await
    }

    fn screen(&self) -> String {
        let lines = self.0.terminal.backend().to_string();
        lines.lines().map(|line| line.trim_matches('"').trim_end()).collect::<Vec<_>>().join("\n")
    }

    fn shows(&self, text: &str) -> Outcome {
        if self.screen().contains(text) {
            return Ok(());
        }
        Err(format!("{text:?} is not on the screen:\n{}", self.screen()).into())
    }

    /// Goes on until this holds.
    async fn until(&mut self, what: &str, holds: impl Fn(&App) -> bool) -> Outcome {
        let waited = timeout(PATIENCE, async {
            while !holds(&self.0.app) {
                self.0.turn().await?;
            }
            Ok::<(), Box<dyn Error>>(())
        });
        waited.await.map_err(|_| format!("waited in vain for: {what}\n{}", self.screen()))?
    }

    async fn leaves(self) -> Outcome {
        Ok(self.0.device.close(&self.0.app.link).await?)
    }
}

fn says(word: &str) -> impl Fn(&App) -> bool {
    move |app| status_line(app).contains(word)
}

fn tell(what: &str, person: &Person) {
    println!("== {what}\n{}\n", person.screen());
}

/// Plays the session.
pub(crate) async fn play() -> Outcome {
    let scratch = tempfile::tempdir()?;
    let place = scratch.path();
    let (server, mut ada, mut ben) = together(place).await?;
    let address = apart(server, &mut ada, &mut ben).await?;
    let server = Server::start(place, &address).await?;
    for person in [&mut ada, &mut ben] {
        person.types("s").await?;
    }
    let merged = |app: &App| {
        let notes = || app.held.notes.iter().map(|(_, note)| note);
        notes().any(|note| {
            note.body == "At dawn: one grey heron on the weir. It caught two fish." && note.pinned
        }) && notes().any(|note| note.title == "Badger sett")
            && app.held.met.len() == 1
            && status_line(app).contains("in step")
    };
    ada.until("both edits", merged).await?;
    ben.until("both edits", merged).await?;
    assert_eq!(ada.0.app.held.notes, ben.0.app.held.notes, "both have the same notes");
    tell("Ada, together again: both edits of the sentence, Ben's pin, and two titles to choose from", &ada);
    ada.shows("≠ x takes the other title")?;
    ada.types("x").await?;
    ada.until("the choice is sent", |app| app.held.met.is_empty() && says("in step")(app)).await?;
    ben.until("the choice", |app| app.held.met.is_empty() && app.held.notes == ada.0.app.held.notes).await?;
    at_one_moment(&mut ada, &mut ben).await?;
    ben.press(&[KeyCode::Char('/')]).await?;
    ben.types("#birds").await?;
    tell("Ben searches", &ben);
    ben.shows("/#birds")?;
    assert_eq!(ben.0.app.rows().len(), 1);
    ada.leaves().await?;
    ben.leaves().await?;
    server.stop().await?;
    println!("== both have the same notes, nothing waits, and nothing was lost");
    Ok(())
}

/// Ada writes without a server, then shares; Ben joins.
async fn together(place: &Path) -> Outcome<(Server, Person, Person)> {
    let mut ada = Person::sits_down(place, "ada", (None, None)).await?;
    ada.shows("No notes yet")?;
    ada.writes("Heron", "one grey heron on the weir.").await?;
    ada.types("gbirds river").await?;
    ada.press(&[KeyCode::Enter]).await?;
    ada.shows("kept on this device, no server")?;
    tell("Ada, without any server", &ada);
    ada.leaves().await?;

    let server = Server::start(place, "127.0.0.1:0").await?;
    let url = format!("http://{}", server.address);
    let mut ada = Person::sits_down(place, "ada", (Some(url.clone()), None)).await?;
    ada.until("everything is at the server", says("in step")).await?;
    let share = ada.0.app.about.share.clone();
    let id = share.rsplit(' ').next().ok_or("the help shows how to join")?.parse()?;
    let mut ben = Person::sits_down(place, "ben", (Some(url), Some(id))).await?;
    ben.until("Ada's note", |app| app.held.notes.len() == 1).await?;
    ben.writes("Badger sett", "Two entrances, fresh straw.").await?;
    ada.until("Ben's note", |app| app.held.notes.len() == 2).await?;
    ada.shows("ben wrote something")?;
    ada.types("?").await?;
    tell("Ada, with help", &ada);
    ada.shows(&id.to_string())?;
    ada.press(&[KeyCode::Esc]).await?;
    Ok((server, ada, ben))
}

/// Ben's words come into the text that Ada has before her while hers are not yet kept.
async fn at_one_moment(ada: &mut Person, ben: &mut Person) -> Outcome {
    ada.press(&[KeyCode::Enter, KeyCode::Home]).await?;
    ada.types("Day two. ").await?;
    let mut news = ada.0.device.changes();
    ben.press(&[KeyCode::Home, KeyCode::Enter]).await?;
    ben.types(" Gone by nine.").await?;
    ben.press(&[KeyCode::Esc]).await?;
    timeout(PATIENCE, news.next()).await?;
    // The store has them, and Ada's app was not told yet.
    ada.press(&[KeyCode::Esc]).await?;
    let both = "Day two. At dawn: one grey heron on the weir. It caught two fish. Gone by nine.";
    let reads = |app: &App| app.held.notes.iter().any(|(_, note)| note.body == both);
    assert!(reads(&ada.0.app), "{}", ada.screen());
    ben.until("Ada's words", reads).await
}

/// Without the server both write into the same note; its address comes back.
async fn apart(server: Server, ada: &mut Person, ben: &mut Person) -> Outcome<String> {
    let address = server.stop().await?;
    ada.until("offline", says("offline since")).await?;
    ben.until("offline", says("offline since")).await?;
    for person in [&mut *ada, &mut *ben] {
        person.types("/heron").await?;
        person.press(&[KeyCode::Enter]).await?;
    }
    ada.press(&[KeyCode::Enter, KeyCode::Home]).await?;
    ada.types("At dawn: ").await?;
    ada.press(&[KeyCode::Esc]).await?;
    ada.types("t at the weir").await?;
    ada.press(&[KeyCode::Esc, KeyCode::Esc]).await?;
    ben.press(&[KeyCode::Enter, KeyCode::End]).await?;
    ben.types(" It caught two fish.").await?;
    ben.press(&[KeyCode::Esc]).await?;
    ben.types("t, fishing").await?;
    ben.press(&[KeyCode::Esc]).await?;
    ben.types("p").await?;
    ben.press(&[KeyCode::Esc]).await?;
    // A slip of the finger, and back.
    ben.press(&[KeyCode::End, KeyCode::Char('d')]).await?;
    ben.shows("u brings it back")?;
    assert_eq!(ben.0.app.held.notes.len(), 1);
    ben.types("u").await?;
    assert_eq!(ben.0.app.held.notes.len(), 2, "undone");
    tell("Ben, offline", ben);
    ben.shows("waiting")?;
    tell("Ada, offline", ada);
    ada.shows("waiting")?;
    Ok(address)
}
