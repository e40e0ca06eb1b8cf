-- The index of hashes is kept by stretches of a log, 16,384 positions each (the last of 1,024 has no end): a push
-- then writes to the pages of one stretch, however long the log is.
-- lookup: document << 40 | stretch << 30 | first 30 bits of the hash: finds it, proves nothing.
UPDATE change SET lookup =
    (id >> 40 << 40)
  | (min((id & 1099511627775) >> 14, 1023) << 30)
  | ((  ((instr('0123456789ABCDEF', substr(hex(hash), 1, 1)) - 1) << 28)
      | ((instr('0123456789ABCDEF', substr(hex(hash), 2, 1)) - 1) << 24)
      | ((instr('0123456789ABCDEF', substr(hex(hash), 3, 1)) - 1) << 20)
      | ((instr('0123456789ABCDEF', substr(hex(hash), 4, 1)) - 1) << 16)
      | ((instr('0123456789ABCDEF', substr(hex(hash), 5, 1)) - 1) << 12)
      | ((instr('0123456789ABCDEF', substr(hex(hash), 6, 1)) - 1) << 8)
      | ((instr('0123456789ABCDEF', substr(hex(hash), 7, 1)) - 1) << 4)
      |  (instr('0123456789ABCDEF', substr(hex(hash), 8, 1)) - 1)) >> 2);
