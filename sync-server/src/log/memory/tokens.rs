//! Tokens and grants.

use super::*;

impl TokenRows for MemoryRows {
    fn token(&self, key: TokenKey<'_>) -> Result<Option<TokenRow>, LogError> {
        let state = self.state();
        let mut all = state.tokens.iter();
        let found = match key {
            TokenKey::Any => all.next(),
            TokenKey::Id(id) => all.find(|(_, token)| token.id == id),
            TokenKey::Hash(hash) => all.find(|(held, _)| held == hash),
            TokenKey::Name(name) => all.find(|(_, token)| token.name == name && !token.revoked),
        };
        Ok(found.map(|(_, token)| token.clone()))
    }

    fn tokens(&self, now: i64) -> Result<Vec<TokenInfo>, LogError> {
        let state = self.state();
        let shown = |token: &TokenRow| TokenInfo {
            name: token.name.clone(),
            document: token.document,
            access: token.access,
            grants: state.grants.keys().filter(|(of, _)| *of == token.id.0).count() as u64,
            created_at: String::new(),
            expires_at: token.expires_at.map(|at| at.to_string()),
            revoked_at: token.revoked.then(String::new),
            expired: token.expires_at.is_some_and(|at| at <= now),
        };
        Ok(state.tokens.iter().map(|(_, token)| shown(token)).collect())
    }

    fn granted(&self, to: Holder<'_>, id: &DocumentId) -> Result<Option<Access>, LogError> {
        let (state, id) = (self.state(), *id.as_bytes());
        Ok(match to {
            Holder::Token(token) => state.grants.get(&(token.0, id)).copied(),
            Holder::Subject(subject) => {
                state.founders.contains(&(subject.to_owned(), id)).then_some(Access::Admin)
            }
        })
    }
}

impl EditTokens for MemoryRows {
    fn put_token(&self, new: &NewTokenRow<'_>, _: i64) -> Result<TokenId, LogError> {
        let tokens = &mut self.state.borrow_mut().tokens;
        let id = TokenId(tokens.len() as i64 + 1);
        let (name, document, access) = (new.name.to_owned(), new.document, new.access);
        let row = TokenRow { id, name, document, access, expires_at: new.ends, revoked: false };
        tokens.push((*new.hash, row));
        Ok(id)
    }

    fn change_token(&self, id: TokenId, change: TokenChange) -> Result<(), LogError> {
        let (_, token) = &mut self.state.borrow_mut().tokens[id.0 as usize - 1];
        match change {
            TokenChange::Ends(at) => {
                token.expires_at = Some(token.expires_at.map_or(at, |before| before.min(at)));
            }
            TokenChange::Revoked(_) => token.revoked = true,
        }
        Ok(())
    }

    fn grant(&self, grant: &Grant<'_>) -> Result<u64, LogError> {
        let mut state = self.state.borrow_mut();
        let new: Vec<((i64, [u8; 16]), Access)> = match grant {
            Grant::One(token, id, access) => vec![((token.0, *id.as_bytes()), *access)],
            Grant::All(token, access) => {
                let there = state.documents.iter().filter(|document| !document.deleted);
                there.map(|document| ((token.0, *document.uuid.as_bytes()), *access)).collect()
            }
            Grant::Founder(subject, id) => {
                return Ok(u64::from(state.founders.insert(((*subject).to_owned(), *id.as_bytes()))));
            }
            Grant::Like { from, to } => {
                let all = state.grants.iter().filter(|((token, _), _)| *token == from.0);
                all.map(|((_, id), access)| ((to.0, *id), *access)).collect()
            }
        };
        let count = new.len() as u64;
        state.grants.extend(new);
        Ok(count)
    }
}
