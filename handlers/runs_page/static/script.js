// Times in the reader's own zone; without this they are in UTC, and say so.
for (const t of document.querySelectorAll("time[datetime]")) {
  const d = new Date(t.dateTime);
  if (isNaN(d)) continue;
  const hour = t.dataset.form === "hour";
  const now = new Date();
  const sameDay = d.toDateString() === now.toDateString();
  const day = sameDay ? {} : {day: "numeric", month: "short", ...(d.getFullYear() === now.getFullYear() ? {} : {year: "numeric"})};
  t.textContent = d.toLocaleString([], {...(hour ? {} : day), hour: "numeric", minute: "2-digit", ...(hour ? {} : {second: "2-digit"})});
  t.title = d.toLocaleString([], {dateStyle: "full", timeStyle: "long"});
}
for (const e of document.querySelectorAll("[data-zone]"))
  e.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone.replaceAll("_", " ");
// Ids are shortened: a button copies the whole of one.
for (const b of document.querySelectorAll("button[data-copy]")) {
  b.hidden = !navigator.clipboard;
  b.addEventListener("click", async () => {
    await navigator.clipboard.writeText(b.dataset.copy);
    b.textContent = "Copied";
  });
}
// What was resubmitted is looked at again until it is settled: each time a second later, for nine minutes.
const f = document.querySelector("[data-follow]");
const tries = f ? Number(f.dataset.follow) : 60;
if (tries < 60)
  setTimeout(() => {
    const u = new URL(location);
    u.searchParams.set("follow", tries + 1);
    location.replace(u);
  }, Math.min(tries, 10) * 1000);
// The way to this page is in view, where not all fit beside each other.
const nav = document.querySelector("nav"), here = nav && nav.querySelector("[aria-current]");
if (here) nav.scrollLeft += here.getBoundingClientRect().left - nav.getBoundingClientRect().left - 48;
