// A client of rejoin-server: `fetch`, Automerge, and what PROTOCOL.md says; nothing else.
//
//   npm ci
//   node client.mjs http://127.0.0.1:4810 DOCUMENT state.json 'title="Oslo"' 'days=3'
//
// Makes one change of the edits, syncs, and prints the document. Offline it keeps the change (exit code 3) and sends it
// the next time. Where the server wants a token it stands in REJOIN_TOKEN.
import * as A from "@automerge/automerge";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

const CHANGES = "application/vnd.automerge";
const [server, id, file, ...edits] = process.argv.slice(2);
const stored = existsSync(file) ? JSON.parse(readFileSync(file)) : {};
let doc = stored.document ? A.load(Buffer.from(stored.document, "base64")) : A.init();
let { cursor, pushed = [] } = stored; // the server's cursor, and the heads of what it has

function save() { // the cursor together with what it counts: both or neither
  const document = Buffer.from(A.save(doc)).toString("base64");
  writeFileSync(`${file}.new`, JSON.stringify({ cursor, pushed, document }), { flush: true });
  renameSync(`${file}.new`, file);
}

function* chunks(body) { // magic and checksum (8 bytes), type (1), length (LEB128), contents
  for (let at = 0; at < body.length; ) {
    let [end, length, shift] = [at + 9, 0, 0];
    do length += (body[end] & 127) * 2 ** shift, shift += 7; while (body[end++] > 127);
    end += length;
    if (!(end <= body.length)) throw new Error("the body ends inside a change");
    yield body.subarray(at, end);
    at = end;
  }
}

async function exchange(body) { // a push where there is something to push, else a pull
  const url = new URL(`/v1/documents/${id}/changes`, server);
  if (cursor) url.searchParams.set("after", cursor);
  const headers = { accept: CHANGES, ...(body && { "content-type": CHANGES }) };
  if (process.env.REJOIN_TOKEN) headers.authorization = `Bearer ${process.env.REJOIN_TOKEN}`;
  const reply = await fetch(url, { method: body ? "POST" : "GET", headers, body, redirect: "error" });
  if (reply.status === 404 && !cursor) return false; // nobody has pushed it yet
  if (reply.status === 404 || reply.status === 409) { // wiped or restored: offer all, read all
    [cursor, pushed] = [undefined, []];
    return true;
  }
  if (!reply.ok || reply.headers.get("content-type") !== CHANGES) // else nothing is acknowledged
    throw new Error(`the server answered ${reply.status}: ${await reply.text()}`);
  doc = A.applyChanges(doc, [...chunks(new Uint8Array(await reply.arrayBuffer()))])[0];
  cursor = reply.headers.get("rejoin-cursor");
  return reply.headers.has("rejoin-more");
}

if (edits.length > 0) {
  const pairs = edits.map((edit) => /^(.*?)=(.*)$/s.exec(edit)).map(([, key, value]) => [key, JSON.parse(value)]);
  const message = JSON.stringify({ a: "javascript/set", v: 1 });
  doc = A.change(doc, { message }, (draft) => void Object.assign(draft, Object.fromEntries(pairs)));
  save(); // durable before anything is sent
}
for (let more = true; more; save()) {
  const ours = A.getChangesSince(doc, pushed);
  more = await exchange(ours.length > 0 ? new Blob(ours) : undefined).catch((error) => {
    console.error(error.message);
    process.exit(3);
  });
  if (cursor) pushed = A.getHeads(doc); // nothing was made meanwhile: all of it is there
}
console.log(JSON.stringify(doc));
