// The pages are complete without this: it adds the reader's local time to the hover of times,
// and shows that a form is being sent.
"use strict";

for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  const local = at.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
  time.title = `${local} (local time); ${time.title}`;
}

for (const form of document.querySelectorAll("form")) {
  form.addEventListener("submit", () => {
    form.setAttribute("aria-busy", "true");
  });
}
