//! A real terminal: taken, listened to, and given back as it was, whatever happens.

use std::{
    error::Error,
    io::stdout,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        event::{self, DisableBracketedPaste, EnableBracketedPaste, Event, KeyEventKind},
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    device::{self, Options},
    session::Session,
    state::Message,
};

/// How often the thread that reads the keys looks whether the app has ended.
const LOOK: Duration = Duration::from_millis(200);

/// Whether the terminal is the app's.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal is the app's as long as this lives.
struct Taken;

impl Taken {
    fn take() -> std::io::Result<Self> {
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let taken = Self;
        execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

/// Once only: leaving twice would put the cursor into what was printed in between.
fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // Nobody can be told: this is the terminal.
    let _ = execute!(stdout(), DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// A panic of the app is shown on the terminal as it was before. One on another thread is the engine's, which catches
/// it and makes an error of it: the screen stays as it is.
fn show_panics_after() {
    let (app, usual) = (std::thread::current().id(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == app {
            give_back();
            usual(panic);
        }
    }));
}

/// Runs the app until it is quit.
pub(crate) async fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let (device, app, inbox) = device::open(options).await?;
    show_panics_after();
    let taken = Taken::take()?;
    let terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
    let outbox = device.outbox();
    let keys = outbox.clone();
    std::thread::spawn(move || listen(&keys));
    tokio::spawn(async move {
        ended_from_outside().await;
        let _ = outbox.send(Message::Quit);
    });
    let mut session = Session { app, device, terminal, inbox };
    session.draw()?;
    while session.turn().await? {}
    drop(taken);
    Ok(session.device.close(&session.app.link).await?)
}

/// Reads the keys until the app has ended.
fn listen(outbox: &UnboundedSender<Message>) {
    while !outbox.is_closed() {
        let message = match event::poll(LOOK)
            .and_then(|there| if there { event::read().map(Some) } else { Ok(None) })
        {
            Ok(Some(Event::Key(key))) if key.kind != KeyEventKind::Release => Message::Key(key),
            Ok(Some(Event::Paste(text))) => Message::Paste(text),
            Ok(Some(Event::Resize(..))) => Message::Resized,
            Ok(_) => continue,
            // The terminal is gone.
            Err(_) => Message::Quit,
        };
        let last = matches!(message, Message::Quit);
        if outbox.send(message).is_err() || last {
            return;
        }
    }
}

#[cfg(unix)]
async fn ended_from_outside() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut end), Ok(mut hang_up)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = end.recv() => {}
        _ = hang_up.recv() => {}
    }
}

#[cfg(not(unix))]
async fn ended_from_outside() {
    std::future::pending().await
}
