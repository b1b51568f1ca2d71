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
