"use strict";
// Times in the viewer's zone, and a live part of a page. Without this file times are in UTC and pages stay as loaded.
const shown = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const today = new Date().toDateString();

function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.title = time.dateTime;
      time.textContent = at.toDateString() === today ? `today, ${clock.format(at)}` : shown.format(at);
    }
  }
}

async function renew() {
  const live = document.querySelector("[data-live]");
  if (!live || document.hidden || live.contains(document.activeElement)) return;
  try {
    const answer = await fetch(location.href, { redirect: "error", headers: { "X-Renewal": "1" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("[data-live]");
    if (!fresh) return;
    localise(fresh);
    live.replaceWith(fresh);
  } catch {
    // The relay does not answer, or the visit is over: what stands here says of when it is.
  }
}

localise(document);
if (document.querySelector("[data-live]")) setInterval(renew, 10000);
