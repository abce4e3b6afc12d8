// A client of the policy API that shares nothing with Tulle but NATS: Node's standard library alone.
//
//     node nats_client.mjs CREDENTIALS.json SUBJECT REQUEST_ID FILE...
//
// Publishes the files to SUBJECT (tulle.<mesh>.api.policy.apply) and prints each answer as a line of JSON, up to the
// one that is `done`. The NATS protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol
import { createPrivateKey, randomUUID, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { basename } from "node:path";

const SECONDS = 20;
const LINE_END = "\r\n";
const ED25519_PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

const [credentialsPath, subject, id, ...paths] = process.argv.slice(2);
const credentials = JSON.parse(readFileSync(credentialsPath, "utf8"));
const inbox = `_INBOX.${credentials.user}.${randomUUID()}`;
const request = JSON.stringify({
  v: 1,
  id,
  files: paths.map((path) => ({ name: basename(path), text: readFileSync(path, "utf8") })),
});

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function base32(text) {
  let bits = 0n;
  for (const letter of text) bits = (bits << 5n) | BigInt(BASE32.indexOf(letter));
  const size = (text.length * 5) >> 3;
  bits >>= BigInt(text.length * 5 - size * 8);
  return Buffer.from(bits.toString(16).padStart(size * 2, "0"), "hex");
}

// An nkey's seed: two bytes that say whose it is, 32 of the key, a checksum.
function signed(nonce) {
  const raw = base32(credentials.seed).subarray(2, 34);
  const key = createPrivateKey({ key: Buffer.concat([ED25519_PKCS8, raw]), format: "der", type: "pkcs8" });
  return sign(null, Buffer.from(nonce), key).toString("base64url");
}

function publish(to, reply, payload) {
  const data = Buffer.from(payload);
  socket.write(`PUB ${to} ${reply} ${data.length}${LINE_END}`);
  socket.write(data);
  socket.write(LINE_END);
}

function onLine(line) {
  const [verb, ...rest] = line.split(" ");
  if (verb === "INFO") {
    const { nonce } = JSON.parse(rest.join(" "));
    if (nonce === undefined) return; // news of the server, to those who are in
    const options = { verbose: false, pedantic: false, protocol: 1, lang: "node", version: "1", headers: true, no_responders: true };
    socket.write(`CONNECT ${JSON.stringify({ ...options, jwt: credentials.jwt, sig: signed(nonce) })}${LINE_END}`);
    socket.write(`SUB ${inbox} 1${LINE_END}PING${LINE_END}`);
  } else if (verb === "PONG") {
    publish(subject, inbox, request);
  } else if (verb === "PING") {
    socket.write(`PONG${LINE_END}`);
  } else if (verb === "-ERR") {
    fail(line);
  }
}

function onAnswer(payload) {
  const answer = JSON.parse(payload.toString("utf8"));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
  if (answer.done) {
    socket.end();
    process.exitCode = 0;
    clearTimeout(timer);
  }
}

let buffer = Buffer.alloc(0);

// Takes lines, and of MSG and HMSG the payload of the length that they say.
function onData(data) {
  buffer = Buffer.concat([buffer, data]);
  for (;;) {
    const end = buffer.indexOf(LINE_END);
    if (end < 0) return;
    const line = buffer.subarray(0, end).toString("utf8");
    const words = line.split(" ");
    if (words[0] !== "MSG" && words[0] !== "HMSG") {
      buffer = buffer.subarray(end + 2);
      onLine(line);
      continue;
    }
    const size = Number(words.at(-1));
    if (buffer.length < end + 2 + size + 2) return;
    const headers = words[0] === "HMSG" ? Number(words.at(-2)) : 0;
    const message = buffer.subarray(end + 2, end + 2 + size);
    buffer = buffer.subarray(end + 2 + size + 2);
    if (message.subarray(0, headers).toString("utf8").startsWith("NATS/1.0 503")) fail("nobody listens");
    onAnswer(message.subarray(headers));
  }
}

const url = new URL(credentials.url);
const socket = connect({ host: url.hostname, port: Number(url.port) });
const timer = setTimeout(() => fail(`no answer within ${SECONDS} s`), SECONDS * 1000);
socket.on("data", onData);
socket.on("error", (error) => fail(String(error)));
