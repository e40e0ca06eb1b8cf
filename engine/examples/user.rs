//! `createAsyncThunk`: an app asks for a user, and a worker on the same file, another process usually, fetches it.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]
use rejoin::slice::{Draft, Rejection, Slice};
use rejoin::work::{StartOptions, Thunk, ThunkContext, WorkOptions};
use rejoin::{Store, effects::FollowUp};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum UserAction {
    Asked,
    Fetched { user: String },
    Failed { error: String },
}
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UserState {
    data: Option<String>,
    loading: bool,
    error: Option<String>,
}
struct User;
impl Slice for User {
    const NAME: &'static str = "user";
    type State = UserState;
    type Action = UserAction;
    fn reduce(draft: &mut Draft<'_>, action: &UserAction) -> Result<(), Rejection> {
        match action {
            UserAction::Asked => draft.merge("", json!({"loading": true, "error": null})),
            UserAction::Fetched { user } => draft.merge("", json!({"loading": false, "data": user})),
            UserAction::Failed { error } => draft.merge("", json!({"loading": false, "error": error})),
        }
    }
}
struct FetchUser;
impl Thunk for FetchUser {
    const NAME: &'static str = "user/fetch";
    type Argument = String;
    type Output = String;
    type Error = String;
    async fn run(&self, _: ThunkContext, name: String) -> Result<String, String> {
        if name == "ada" { Ok("Ada Lovelace".to_owned()) } else { Err(format!("nobody is called {name}")) }
    }
    fn pending(_: &String) -> Option<FollowUp> {
        Some(FollowUp::of::<User>(UserAction::Asked))
    }
    fn fulfilled(_: &String) -> Option<FollowUp> {
        Some(FollowUp::of::<User>(UserAction::Fetched { user: String::new() }).put("", "/user"))
    }
    fn rejected(_: &String) -> Option<FollowUp> {
        Some(FollowUp::of::<User>(UserAction::Failed { error: String::new() }).put("/error", "/error"))
    }
}
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let open = || Store::builder(dir.path().join("app.db")).slice::<User>();
    let (app, worker) = (open().open().await?, open().thunk(FetchUser).open().await?);
    let user = app.slice::<User>(app.create(None, Some("user")).await?);
    for name in ["ada", "bob"] {
        app.start::<FetchUser>(name.to_owned(), StartOptions::new().document(user.document())).await?;
        println!("asked for {name}: {:?}", user.state().await?);
        worker.run_until_idle(WorkOptions::default()).await?;
        println!("it is settled: {:?}", user.state().await?);
    }
    assert_eq!(user.state().await?.data.as_deref(), Some("Ada Lovelace"));
    Ok(())
}
