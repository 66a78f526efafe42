// Shows new mails without a reload of the page, while it is in sight.
"use strict";

async function look() {
  if (document.hidden) return;
  const mails = document.getElementById("mails");
  const answer = await fetch("/api/mails?limit=1");
  const newest = (await answer.json()).mails[0]?.id ?? "";
  if (newest === mails.dataset.newest) return;
  const page = await fetch(location.href);
  const fresh = new DOMParser().parseFromString(await page.text(), "text/html");
  mails.replaceWith(document.adoptNode(fresh.getElementById("mails")));
  document.title = fresh.title;
}

// A mailbox that is stopped is asked again: it may come back.
setInterval(() => look().catch(() => {}), 1500);
