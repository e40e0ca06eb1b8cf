//! Something of which there is so much: nobody has more than a share of it at once, and a part of it is kept for those
//! who look after the server.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use crate::rules::{ApiError, Code};

/// How long somebody waits for a share, before being told to come later.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much there is, and how it is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amounts {
    /// All of it.
    pub(crate) all: usize,
    /// The most that one has at once.
    pub(crate) each: usize,
    /// What of it is kept for those who look after the server.
    pub(crate) kept: usize,
}

/// Who takes a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taker<K> {
    /// `None`: whoever sits at this machine, or the server itself: has no share of its own.
    pub(crate) who: Option<K>,
    /// Looks after the server: may have what is kept, and more than a share.
    pub(crate) keeper: bool,
}

impl<K> Taker<K> {
    pub(crate) fn ordinary(who: Option<K>) -> Self {
        Self { who, keeper: false }
    }
}

/// Why there is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// Nothing is left.
    All,
    /// One has all of one's share.
    Mine,
}

#[derive(Debug)]
pub(crate) struct Shares<K: Eq + Hash> {
    inner: Arc<Inner<K>>,
}

impl<K: Eq + Hash> Clone for Shares<K> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

#[derive(Debug)]
struct Inner<K> {
    amounts: Amounts,
    taken: Mutex<Taken<K>>,
    given_back: Notify,
}

/// Who has how much; who has nothing is not in it.
#[derive(Debug)]
struct Taken<K> {
    all: usize,
    by: HashMap<K, usize>,
}

impl<K: Eq + Hash> Taken<K> {
    /// The rule. It depends on nothing else.
    fn judge(&self, amounts: Amounts, taker: &Taker<K>, more: usize) -> Result<(), Full> {
        let mine = taker.who.as_ref().and_then(|who| self.by.get(who)).copied().unwrap_or(0);
        if taker.who.is_some() && !taker.keeper && mine.saturating_add(more) > amounts.each {
            return Err(Full::Mine);
        }
        let kept = if taker.keeper { 0 } else { amounts.kept };
        let over = self.all.saturating_add(more).saturating_add(kept) > amounts.all;
        if over { Err(Full::All) } else { Ok(()) }
    }
}

impl<K: Eq + Hash + Clone> Shares<K> {
    pub(crate) fn new(amounts: Amounts) -> Self {
        let taken = Mutex::new(Taken { all: 0, by: HashMap::new() });
        Self { inner: Arc::new(Inner { amounts, taken, given_back: Notify::new() }) }
    }

    /// The most that one may have at once.
    pub(crate) fn each(&self) -> usize {
        self.inner.amounts.each
    }

    /// How much is taken.
    pub(crate) fn taken(&self) -> usize {
        self.inner.lock().all
    }

    /// Takes a share, if it is there.
    pub(crate) fn take(&self, taker: Taker<K>, amount: usize) -> Result<Share<K>, Full> {
        let mut share = Share { inner: Arc::clone(&self.inner), taker, amount: 0 };
        share.grow(amount).map(|()| share)
    }

    /// Waits a moment for a share.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn wait(&self, taker: Taker<K>, amount: usize) -> Result<Share<K>, ApiError> {
        self.wait_for((taker, amount), PATIENCE).await
    }

    async fn wait_for(
        &self,
        (taker, amount): (Taker<K>, usize),
        longest: Duration,
    ) -> Result<Share<K>, ApiError> {
        let waiting = async {
            loop {
                let mut given_back = std::pin::pin!(self.inner.given_back.notified());
                given_back.as_mut().enable();
                if let Ok(share) = self.take(taker.clone(), amount) {
                    return share;
                }
                given_back.await;
            }
        };
        let why = "Too much is under way just now, or too much of it is yours.";
        timeout(longest, waiting).await.map_err(|_| ApiError::because(Code::Unavailable, why))
    }
}

impl<K> Inner<K> {
    fn lock(&self) -> MutexGuard<'_, Taken<K>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A share; it is given back when this is dropped.
pub(crate) struct Share<K: Eq + Hash + Clone> {
    inner: Arc<Inner<K>>,
    taker: Taker<K>,
    amount: usize,
}

impl<K: Eq + Hash + Clone> Share<K> {
    /// Takes more, if it is there.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), Full> {
        let mut taken = self.inner.lock();
        taken.judge(self.inner.amounts, &self.taker, more)?;
        taken.all += more;
        if let Some(who) = &self.taker.who {
            *taken.by.entry(who.clone()).or_default() += more;
        }
        drop(taken);
        self.amount += more;
        Ok(())
    }

    /// Gives back what is more than this.
    pub(crate) fn shrink(&mut self, to: usize) {
        let less = self.amount.saturating_sub(to);
        if less == 0 {
            return;
        }
        self.amount -= less;
        let mut taken = self.inner.lock();
        taken.all = taken.all.saturating_sub(less);
        if let Some(who) = &self.taker.who
            && let Some(mine) = taken.by.get_mut(who)
        {
            *mine = mine.saturating_sub(less);
            if *mine == 0 {
                taken.by.remove(who);
            }
        }
        drop(taken);
        self.inner.given_back.notify_waiters();
    }
}

impl<K: Eq + Hash + Clone> Drop for Share<K> {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

impl<K: Eq + Hash + Clone> fmt::Debug for Share<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("amount", &self.amount).finish_non_exhaustive()
    }
}

/// Bytes that are counted as long as any of them is there.
pub(crate) struct Counted<T, K: Eq + Hash + Clone> {
    pub(crate) bytes: T,
    pub(crate) _share: Option<Share<K>>,
}

impl<T: AsRef<[u8]>, K: Eq + Hash + Clone> AsRef<[u8]> for Counted<T, K> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares() -> Shares<&'static str> {
        Shares::new(Amounts { all: 10, each: 4, kept: 2 })
    }

    fn of(who: &'static str) -> Taker<&'static str> {
        Taker::ordinary(Some(who))
    }

    #[test]
    fn nobody_has_more_than_a_share_and_some_is_kept() {
        let shares = shares();
        let eve = shares.take(of("eve"), 4).unwrap();
        assert_eq!(shares.take(of("eve"), 1).unwrap_err(), Full::Mine);
        let ada = shares.take(of("ada"), 3).unwrap();
        assert_eq!(shares.take(of("bob"), 2).unwrap_err(), Full::All);
        let bob = shares.take(of("bob"), 1).unwrap();
        assert_eq!(shares.take(Taker::ordinary(None), 1).unwrap_err(), Full::All);
        let keeper = || Taker { who: Some("root"), keeper: true };
        let root = shares.take(keeper(), 2).unwrap();
        assert_eq!(shares.take(keeper(), 1).unwrap_err(), Full::All);
        drop(eve);
        assert!(shares.take(of("eve"), 4).is_err() && shares.take(of("eve"), 2).is_ok());
        drop((ada, bob, root));
        assert_eq!((shares.taken(), shares.inner.lock().by.len()), (0, 0));
    }

    #[test]
    fn a_share_grows_as_far_as_there_is_and_shrinks() {
        let shares = shares();
        let mut eve = shares.take(of("eve"), 3).unwrap();
        assert_eq!(eve.grow(2), Err(Full::Mine));
        eve.shrink(1);
        assert_eq!(shares.taken(), 1);
        assert_eq!(eve.grow(3), Ok(()));
        drop(eve);
        assert_eq!(shares.taken(), 0);
    }

    #[tokio::test]
    async fn who_waits_gets_what_is_given_back_and_not_for_long() {
        let shares = shares();
        let eve = shares.take(of("eve"), 4).unwrap();
        let give_back = async { drop(eve) };
        let (mine, ()) = tokio::join!(shares.wait(of("eve"), 2), give_back);
        let _mine = mine.unwrap();
        let in_vain = shares.wait_for((of("eve"), 3), Duration::ZERO).await;
        assert_eq!(in_vain.unwrap_err().code, Code::Unavailable);
    }
}
