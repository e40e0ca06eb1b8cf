//! One of two people typing, in a process that can be killed. Only for the tests.

use rejoin_tests::friends;

fn main() {
    let mut words = std::env::args().skip(1);
    let (Some(store), Some(id), Some(server)) = (words.next(), words.next(), words.next()) else {
        panic!("typist STORE DOCUMENT SERVER")
    };
    friends::typist(store.as_ref(), id.parse().unwrap_or_else(|e| panic!("{e}")), &server);
}
