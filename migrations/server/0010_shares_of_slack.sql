-- How much of the slack a change's own actor used: see `fence::Reach` of the crate `rejoin`. Of what came before this
-- column nobody used any.
ALTER TABLE reach ADD COLUMN own INTEGER NOT NULL DEFAULT 0;
