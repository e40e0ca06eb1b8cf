//! The slices and middleware of a store, and actions on their way to the reducers.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    marker::PhantomData,
    sync::Arc,
};

use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::{
    ActionInfo, AnyExtra, Draft, ExtraReducer, Middleware, Migration, Newer, Rejection, Scope, Slice,
    extra::Extra, finite, middleware::parse_action,
};
use crate::{
    Action, Error, Result, UndoStep,
    job::{EffectRequest, FollowUp},
    reducer::{MAX_DEPTH, is_deeper_than},
};

/// How the built-in JSON slice is called where slices are told apart. No slice can have this name.
pub(crate) const BUILT_IN: &str = "(built-in JSON)";

/// What is asked of a document.
#[derive(Clone)]
pub(crate) enum Command {
    /// An action of the built-in JSON slice.
    Json(Action),
    /// An action of a typed slice.
    Slice(Arc<dyn Intent>),
}

impl From<Action> for Command {
    fn from(action: Action) -> Self {
        Self::Json(action.bounded())
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Command").field(&self.kind()).finish()
    }
}

impl Command {
    /// The action's type.
    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Json(action) => action.kind(),
            Self::Slice(intent) => intent.kind(),
        }
    }

    /// The action with its type.
    pub(crate) fn to_json(&self) -> Result<Value> {
        match self {
            Self::Json(action) => serde_json::to_value(action).map_err(|e| Error::Bug(e.to_string())),
            Self::Slice(intent) => Ok(intent.json().clone()),
        }
    }

    /// Looked at before anything goes through it level by level: a stack has an end.
    ///
    /// # Errors
    /// [`ActionError::TooDeep`] for a value that no document holds.
    pub(crate) fn check_depth(&self) -> Result<()> {
        match self {
            // That of a slice was looked at when it was made.
            Self::Slice(_) => Ok(()),
            Self::Json(action) => action.check_depth().map_err(Error::Action),
        }
    }

    /// Where its slice lives.
    pub(crate) fn scope(&self) -> Scope {
        match self {
            Self::Json(_) => Scope::Synced,
            Self::Slice(intent) => intent.scope(),
        }
    }
}

/// An action of a slice, without its types.
pub(crate) trait Intent: Send + Sync {
    fn slice(&self) -> &'static str;
    fn version(&self) -> u32;
    fn scope(&self) -> Scope;
    fn kind(&self) -> &str;
    fn id(&self) -> Uuid;
    /// The action with its type.
    fn json(&self) -> &Value;
    /// What goes into the message for other replicas.
    fn payload(&self) -> Option<Value>;
    fn reduce(&self, draft: &mut Draft<'_>) -> Result<(), Rejection>;
    fn effects(&self, info: &ActionInfo) -> Vec<EffectRequest>;
    fn undo_step(&self) -> UndoStep;
    fn newer(&self) -> Newer;
    /// The slice's own enum.
    fn action(&self) -> &dyn Any;
}

/// An action of a slice `S`.
pub(crate) struct Typed<S: Slice> {
    action: S::Action,
    kind: String,
    json: Value,
    id: Uuid,
}

impl<S: Slice> Typed<S> {
    /// # Errors
    /// [`Error::BadAction`] for one that is not written as an object with a `type`.
    pub(crate) fn new(action: S::Action) -> Result<Self> {
        let bad = |reason: String| Error::BadAction { action: S::NAME.to_owned(), reason };
        let mut json = finite::to_json(&action).map_err(bad)?;
        if is_deeper_than(&json, MAX_DEPTH) {
            return Err(bad(format!("it is nested more deeply than {MAX_DEPTH} levels")));
        }
        if let Value::String(name) = json {
            json = serde_json::json!({ "type": name });
        }
        let own = json.get("type").and_then(Value::as_str).map(str::to_owned);
        let own = own.ok_or_else(|| bad("an action is an enum with #[serde(tag = \"type\")] and variants with named fields, or with none".to_owned()))?;
        let kind = format!("{}/{own}", S::NAME);
        if let Some(tag) = json.get_mut("type") {
            *tag = Value::from(kind.clone());
        }
        Ok(Self { action, kind, json, id: Uuid::new_v4() })
    }
}

/// An action of a slice as it is kept where it is done later; null for one that is not written with a type, which is
/// refused there.
pub(crate) fn typed_json<S: Slice>(action: S::Action) -> Value {
    Typed::<S>::new(action).map_or(Value::Null, |typed| typed.json)
}

impl FollowUp {
    /// An action of a typed slice. One that cannot be written as JSON with a type is refused when the effect is asked
    /// for, or the thunk started.
    ///
    /// A field that the reply fills is given some value, which [`FollowUp::put`] replaces:
    ///
    /// ```
    /// # use rejoin::{Slice, effects::FollowUp, slice::{Draft, Rejection}};
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # #[serde(tag = "type", rename_all = "snake_case")] enum UserAction { Fetched { user: String } }
    /// # struct User;
    /// # impl Slice for User {
    /// #     const NAME: &'static str = "user"; type State = serde_json::Value; type Action = UserAction;
    /// #     fn reduce(_: &mut Draft<'_>, _: &UserAction) -> Result<(), Rejection> { Ok(()) }
    /// # }
    /// let fetched = FollowUp::of::<User>(UserAction::Fetched { user: String::new() }).put("/name", "/user");
    /// let action = fetched.with_reply(&serde_json::json!({"name": "Ada"}));
    /// assert_eq!(action, serde_json::json!({"type": "user/fetched", "user": "Ada"}));
    /// ```
    pub fn of<S: Slice>(action: S::Action) -> Self {
        Self::new(typed_json::<S>(action))
    }
}

impl<S: Slice> Intent for Typed<S> {
    fn slice(&self) -> &'static str {
        S::NAME
    }

    fn version(&self) -> u32 {
        S::VERSION
    }

    fn scope(&self) -> Scope {
        S::SCOPE
    }

    fn kind(&self) -> &str {
        &self.kind
    }

    fn id(&self) -> Uuid {
        self.id
    }

    fn json(&self) -> &Value {
        &self.json
    }

    fn payload(&self) -> Option<Value> {
        S::PAYLOAD.then(|| payload_of(&self.json)).flatten()
    }

    fn reduce(&self, draft: &mut Draft<'_>) -> Result<(), Rejection> {
        S::reduce(draft, &self.action)
    }

    fn effects(&self, info: &ActionInfo) -> Vec<EffectRequest> {
        S::effects(&self.action, info)
    }

    fn undo_step(&self) -> UndoStep {
        S::undo_step(&self.action)
    }

    fn newer(&self) -> Newer {
        S::NEWER
    }

    fn action(&self) -> &dyn Any {
        &self.action
    }
}

/// An action's fields without its type; `None` where it has no others.
pub(crate) fn payload_of(json: &Value) -> Option<Value> {
    let mut fields = json.as_object()?.clone();
    fields.shift_remove("type");
    (!fields.is_empty()).then_some(Value::Object(fields))
}

/// What is wrong with a type of actions, as far as reading one without its variants tells: an enum that names its variants
/// in another way than by a field `type`.
fn wrong_with_actions<A: DeserializeOwned>() -> Option<&'static str> {
    // No variant is called so.
    let probe = serde_json::json!({"type": "\u{0}"});
    let error = serde_json::from_value::<A>(probe).err()?.to_string();
    error
        .starts_with("unknown variant `type`")
        .then_some("its actions are an enum without a tag: it needs #[serde(tag = \"type\")]")
}

/// A slice, without its types.
pub(crate) trait AnySlice: Send + Sync {
    fn name(&self) -> &'static str;
    fn version(&self) -> u32;
    fn scope(&self) -> Scope;
    fn decode(&self, kind: &str, json: &Value) -> Result<Command>;
    fn migrate(&self, from: u32, draft: &mut Draft<'_>) -> Result<(), Rejection>;
}

struct Of<S>(PhantomData<fn() -> S>);

impl<S: Slice> AnySlice for Of<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn version(&self) -> u32 {
        S::VERSION
    }

    fn scope(&self) -> Scope {
        S::SCOPE
    }

    fn decode(&self, kind: &str, json: &Value) -> Result<Command> {
        let action = parse_action::<S::Action>(S::NAME, kind, json)?;
        Ok(Command::Slice(Arc::new(Typed::<S>::new(action)?)))
    }

    fn migrate(&self, from: u32, draft: &mut Draft<'_>) -> Result<(), Rejection> {
        S::migrate(from, &mut Migration::new(draft))
    }
}

/// The most characters of a slice's name.
const LONGEST_NAME: usize = 64;

/// What a store was built with.
#[derive(Default, Clone)]
pub(crate) struct Registry {
    slices: BTreeMap<&'static str, Arc<dyn AnySlice>>,
    kinds: BTreeMap<String, BTreeSet<String>>,
    /// Who reacts to the actions of a slice.
    extras: BTreeMap<&'static str, Vec<Arc<dyn AnyExtra>>>,
    pub(crate) middleware: Vec<Arc<dyn Middleware>>,
}

impl Registry {
    /// # Errors
    /// [`Error::BadSlice`] for a name that is taken or cannot be one.
    pub(crate) fn add<S: Slice>(&mut self) -> Result<()> {
        let bad = |reason: &str| Error::BadSlice { slice: S::NAME.to_owned(), reason: reason.to_owned() };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if S::NAME.is_empty() || S::NAME.len() > LONGEST_NAME || !S::NAME.chars().all(plain) {
            return Err(bad("its name must be 1 to 64 letters, digits, \"_\", \"-\" or \".\""));
        }
        if S::VERSION == 0 {
            return Err(bad("versions begin with 1"));
        }
        if let Some(why) = wrong_with_actions::<S::Action>() {
            return Err(bad(why));
        }
        match self.slices.insert(S::NAME, Arc::new(Of::<S>(PhantomData))) {
            None => Ok(()),
            Some(_) => Err(bad("a slice of this name is registered already")),
        }
    }

    /// # Errors
    /// [`Error::BadSlice`] where one of the two is not registered, they live in different places, or it was said before.
    pub(crate) fn add_extra<S: ExtraReducer<Other>, Other: Slice>(&mut self) -> Result<()> {
        let bad = |reason: String| Error::BadSlice { slice: S::NAME.to_owned(), reason };
        if let Some(unknown) = [S::NAME, Other::NAME].iter().find(|name| !self.knows_slice(name)) {
            return Err(bad(format!("it reacts to {:?}, and {unknown:?} is not registered", Other::NAME)));
        }
        if S::SCOPE != Other::SCOPE {
            let reason = "they live in different places: one change cannot write to both";
            return Err(bad(format!("it reacts to {:?}, and {reason}", Other::NAME)));
        }
        let extras = self.extras.entry(Other::NAME).or_default();
        if S::NAME == Other::NAME || extras.iter().any(|extra| extra.slice() == S::NAME) {
            return Err(bad(format!("it reacts to {:?} already", Other::NAME)));
        }
        extras.push(Arc::new(Extra::<S, Other>::new()));
        Ok(())
    }

    /// Those that react to an action in a document of this kind.
    pub(crate) fn extras(&self, kind: Option<&str>, command: &Command) -> Vec<Arc<dyn AnyExtra>> {
        let Command::Slice(intent) = command else { return Vec::new() };
        let extras = self.extras.get(intent.slice()).into_iter().flatten();
        extras.filter(|extra| self.takes(kind, extra.slice())).cloned().collect()
    }

    /// # Errors
    /// [`Error::BadSlice`] when the kind is there already, or names a slice that is not registered.
    pub(crate) fn add_kind(&mut self, kind: &str, slices: &[&str]) -> Result<()> {
        if let Some(unknown) = slices.iter().find(|slice| !self.slices.contains_key(*slice)) {
            let reason = format!("the kind {kind:?} names it, and it is not registered");
            return Err(Error::BadSlice { slice: (*unknown).to_owned(), reason });
        }
        let named = slices.iter().map(|slice| (*slice).to_owned()).collect();
        if self.kinds.insert(kind.to_owned(), named).is_some() {
            let reason = "two kinds of document have this name".to_owned();
            return Err(Error::BadSlice { slice: kind.to_owned(), reason });
        }
        Ok(())
    }

    pub(crate) fn knows_kind(&self, kind: &str) -> bool {
        self.kinds.contains_key(kind)
    }

    /// # Errors
    /// [`Error::UnknownSlice`].
    pub(crate) fn slice(&self, name: &str) -> Result<&Arc<dyn AnySlice>> {
        self.slices.get(name).ok_or_else(|| Error::UnknownSlice(name.to_owned()))
    }

    /// Whether a slice of this name is registered.
    pub(crate) fn knows_slice(&self, name: &str) -> bool {
        self.slices.contains_key(name)
    }

    /// Whether a document of this kind takes this slice, or [`BUILT_IN`]. A kind that this app does not know takes any.
    pub(crate) fn takes(&self, kind: Option<&str>, slice: &str) -> bool {
        kind.and_then(|kind| self.kinds.get(kind)).is_none_or(|slices| slices.contains(slice))
    }

    /// `{"type": …}` as an action of the slice that its type names, or of the built-in one.
    ///
    /// # Errors
    /// [`Error::BadAction`], [`Error::UnknownSlice`].
    pub(crate) fn decode(&self, json: &Value) -> Result<Command> {
        let kind = json.get("type").and_then(Value::as_str).unwrap_or_default();
        let bad = |reason: String| Error::BadAction { action: kind.to_owned(), reason };
        match kind.split_once('/') {
            Some((slice, _)) => self.slice(slice)?.decode(kind, json),
            None => {
                let action = serde_json::from_value::<Action>(json.clone());
                action.map(Command::Json).map_err(|error| bad(error.to_string()))
            }
        }
    }
}
