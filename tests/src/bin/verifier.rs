//! The process that verifies, for tests that run the server as a library.

fn main() -> std::io::Result<()> {
    rejoin_server::verify_child(std::io::stdin().lock(), std::io::stdout().lock())
}
