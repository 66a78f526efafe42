// Uploads a photograph, asks for a rendition of it, follows the job and fetches the rendition: Node 18, no library.
//
//   GATEWAY=http://127.0.0.1:8080 TOKEN=tmg_... node upload.mjs photo.jpg card.webp
//
// The token: tidemill tokens create --name me --upload --read-jobs --publish image.requested --expires 1d
import { createReadStream, createWriteStream } from "node:fs";
import { basename } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";

const gateway = process.env.GATEWAY ?? "http://127.0.0.1:8080";
const authorization = `Bearer ${process.env.TOKEN ?? "none"}`;

async function call(path, { headers, ...options } = {}) {
  const answer = await fetch(new URL(path, gateway), { headers: { authorization, ...headers }, ...options });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer;
}

// The body is the file itself, read while it is sent.
async function upload(file, type, payload) {
  const query = new URLSearchParams({ name: basename(file), publish: type, payload: JSON.stringify(payload) });
  const answer = await call(`/uploads?${query}`, {
    method: "POST",
    headers: { "content-type": "application/octet-stream" },
    body: Readable.toWeb(createReadStream(file)),
    duplex: "half",
  });
  return answer.json();
}

// Server-sent events of one connection: {id, event, data}.
async function* eventsOf(body) {
  let rest = "";
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + text).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block.split("\n").filter((line) => !line.startsWith(":")).map((line) => line.split(/: ?(.*)/s, 2)),
      );
      if (fields.data) yield { ...fields, data: JSON.parse(fields.data) };
    }
  }
}

// A job until it has ended. A connection that breaks is made again, and goes on after the last event.
async function* follow(job) {
  let lastId;
  for (;;) {
    try {
      const answer = await call(`${job}/events`, { headers: lastId ? { "last-event-id": lastId } : {} });
      if (answer.status === 204) return;
      for await (const event of eventsOf(answer.body)) {
        lastId = event.id;
        yield event;
        if (["done", "failed", "cancelled"].includes(event.event)) return;
      }
    } catch (error) {
      // fetch() and broken streams throw TypeErrors; what the gateway refuses is an Error with its answer.
      if (!(error instanceof TypeError)) throw error;
    }
    await sleep(2000);
  }
}

const [photo, result] = process.argv.slice(2);
if (!result) {
  console.error("usage: node upload.mjs PHOTO RESULT");
  process.exit(2);
}
const { job, upload: stored } = await upload(photo, "image.requested", {
  renditions: [{ name: "card", width: 480, format: "webp" }],
});
console.log(`${stored.size_bytes} bytes of ${stored.media_type} stored, job ${job}`);

let last;
for await (last of follow(job)) console.log(last.event === "state" ? last.data.state : last.event);
if (last?.event !== "done") {
  console.error(last?.data.failures[0]?.message ?? "the job isn't known");
  process.exit(1);
}

const [card] = last.data.files;
const answer = await call(card.href);
await pipeline(Readable.fromWeb(answer.body), createWriteStream(result));
console.log(`${result}: ${card.size_bytes} bytes of ${card.media_type}`);
