//! The loop: a message at a time, its commands carried out, and the screen drawn when nothing more has come.

use std::{collections::VecDeque, error::Error, time::Duration};

use ratatui::{Terminal, backend::Backend};
use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};

use crate::{
    device::Device,
    state::{App, Command, Message},
    view,
};

/// How long nobody must type for a burst to be kept.
const PAUSE: Duration = Duration::from_millis(400);

/// An app with its device and its screen.
pub(crate) struct Session<B: Backend> {
    pub(crate) app: App,
    pub(crate) device: Device,
    pub(crate) terminal: Terminal<B>,
    pub(crate) inbox: UnboundedReceiver<Message>,
}

impl<B: Backend<Error: Error + 'static>> Session<B> {
    /// Takes in a message, and all that follows from it.
    pub(crate) async fn take(&mut self, message: Message) {
        let mut commands = VecDeque::from(self.app.update(message));
        while let Some(command) = commands.pop_front() {
            self.app.done |= command == Command::Quit;
            for message in self.device.run(command).await {
                commands.extend(self.app.update(message));
            }
        }
    }

    pub(crate) fn draw(&mut self) -> Result<(), Box<dyn Error>> {
        self.terminal.draw(|frame| view::draw(frame, &self.app))?;
        Ok(())
    }

    /// Takes in the next message and those that came with it, and draws. `false`: no more will come.
    pub(crate) async fn turn(&mut self) -> Result<bool, Box<dyn Error>> {
        let next = match self.app.is_dirty() {
            true => timeout(PAUSE, self.inbox.recv()).await.unwrap_or(Some(Message::Pause)),
            false => self.inbox.recv().await,
        };
        let Some(message) = next else { return Ok(false) };
        self.take(message).await;
        while let Ok(message) = self.inbox.try_recv() {
            self.take(message).await;
        }
        self.draw()?;
        Ok(!self.app.done)
    }
}
