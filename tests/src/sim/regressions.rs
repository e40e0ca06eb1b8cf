//! Seeds that once found something.

/// Seeds that once found something, each with what it was. They are run before any other. A seed means what it
/// meant only as long as the world is made as it was: what each found has a test of its own where it was mended.
pub const REGRESSIONS: [(u64, &str); 16] = [
    (1, "what was written again met another change under its actor and number as it arrived: quarantined"),
    (19, "a rewritten change that was refused was written there and back for ever"),
    (23, "two rewritings of one change went into the log"),
    (29, "what was done again and then undone by name was undone a second time"),
    (35, "a twin was given to the library beside the one that it replaces: a text lost characters"),
    (38, "a change on a twin of an earlier batch made healing begin again for ever"),
    (39, "healing offered for ever what the log holds in another spelling"),
    (51, "a spelling that the log holds did not stand after the next fork"),
    (53, "a change that came in another spelling was quarantined, and the document did not open"),
    (57, "a change on a rewritten one, by an actor whose own line stands, was put into the rewritten line"),
    (60, "healing pushed on before it had read what stands in the place of what was refused"),
    (103, "after a healing that met a twin the log was not read before the next push"),
    (110, "a store that was put back undid again what its other life had undone"),
    (161, "a spelling stood again beside another change with its actor and number"),
    (170, "a change was written again under the actor and number of one that arrives"),
    (295, "two changes of one branch were written again under one actor and number"),
];
