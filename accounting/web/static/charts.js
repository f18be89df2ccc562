// Draws a figure's data-chart with Chart.js. Without scripts, the page leads to the chart's SVG.
// Mouse and touch show a tooltip with all names, values and the total; so do the arrow keys. The
// legend's buttons hide and show series. Beside each link to a chart's SVG, there is one to it as PNG.
"use strict";

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const drawn = [];

function colours(chart) {
  chart.data.datasets.forEach((series, place) => {
    series.backgroundColor = style(`--series-${place % 13}`);
  });
  for (const axis of Object.values(chart.options.scales)) {
    axis.ticks.color = style("--muted");
    axis.grid.color = style("--line");
  }
  const tooltip = chart.options.plugins.tooltip;
  tooltip.backgroundColor = style("--text");
  for (const part of ["titleColor", "bodyColor", "footerColor"]) tooltip[part] = style("--surface");
}

function options(data) {
  const said = (value) => `${numbers.format(value)} ${data.unit}`;
  return {
    animation: false,
    datasets: { bar: { maxBarThickness: 96 } },
    maintainAspectRatio: false,
    interaction: { mode: "index", intersect: false },
    scales: {
      x: { stacked: true, grid: { display: false }, ticks: { autoSkipPadding: 12, maxRotation: 0 } },
      y: { stacked: true, grid: {}, ticks: { callback: (value) => numbers.format(value) } },
    },
    plugins: {
      legend: { display: false },
      tooltip: {
        itemSort: (one, other) => other.raw - one.raw,
        filter: (item) => item.raw > 0,
        callbacks: {
          label: (item) => ` ${item.dataset.label}: ${said(item.raw)}`,
          footer: (items) => `Total: ${said(items.reduce((sum, item) => sum + item.raw, 0))}`,
        },
      },
    },
  };
}

function follow(chart, data, canvas, spoken) {
  let at = -1;
  canvas.addEventListener("keydown", (event) => {
    const last = data.labels.length - 1;
    const to = { ArrowRight: at + 1, ArrowLeft: at < 0 ? last : at - 1, Home: 0, End: last }[event.key];
    if (event.key === "Escape") at = -1;
    else if (to === undefined) return;
    else at = Math.min(Math.max(to, 0), last);
    event.preventDefault();
    const shown = chart.getSortedVisibleDatasetMetas().map((meta) => meta.index);
    const active = at < 0 ? [] : shown.map((datasetIndex) => ({ datasetIndex, index: at }));
    const middle = { x: chart.scales.x.getPixelForValue(at), y: chart.chartArea.top };
    chart.setActiveElements(active);
    chart.tooltip.setActiveElements(active, middle);
    chart.update();
    spoken.textContent = at < 0 ? "" : [data.labels[at], ...lines(chart, data, shown, at)].join("; ");
  });
}

function lines(chart, data, shown, at) {
  const values = shown.map((place) => [data.series[place].name, data.series[place].values[at]]);
  const total = values.reduce((sum, [, value]) => sum + value, 0);
  const used = values.filter(([, value]) => value > 0).sort((one, other) => other[1] - one[1]);
  return [...used, ["Total", total]].map(([name, value]) => `${name}: ${numbers.format(value)} ${data.unit}`);
}

function toggle(chart, button, place) {
  button.addEventListener("click", () => {
    const visible = !chart.isDatasetVisible(place);
    chart.setDatasetVisibility(place, visible);
    chart.update();
    button.setAttribute("aria-pressed", String(visible));
  });
}

// A session is not sent with requests for pictures: the file is asked for as our own pages ask.
async function saved(link) {
  const token = document.querySelector("input[name=csrf_token]");
  const answer = await fetch(link.href, { headers: token ? { "X-CSRF-Token": token.value } : {} });
  if (!answer.ok) {
    location.assign(link.href); // it says what is the matter
    return;
  }
  const image = new Image();
  image.src = `data:image/svg+xml,${encodeURIComponent(await answer.text())}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width * 2;
  canvas.height = image.height * 2;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  const file = document.createElement("a");
  file.href = canvas.toDataURL();
  file.download = answer.headers.get("Content-Disposition").match(/filename="(.+)\.svg"/)[1] + ".png";
  file.click();
}

function offerPng(link) {
  const png = document.createElement("a");
  png.href = "#";
  png.textContent = "PNG";
  png.addEventListener("click", (event) => {
    event.preventDefault();
    saved(link);
  });
  link.after(" ", png);
}

function draw(figure) {
  const data = JSON.parse(figure.dataset.chart);
  const canvas = figure.querySelector("canvas");
  const chart = new Chart(canvas, {
    type: "bar",
    data: {
      labels: data.labels,
      datasets: data.series.map(({ name, values }) => ({ label: name, data: values })),
    },
    options: options(data),
  });
  colours(chart);
  chart.update();
  follow(chart, data, canvas, figure.querySelector("[aria-live]"));
  figure.querySelectorAll(".legend button").forEach((button, place) => toggle(chart, button, place));
  drawn.push(chart);
}

document.querySelectorAll("figure[data-chart]").forEach(draw);
document.querySelectorAll("a[data-picture]").forEach(offerPng);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const chart of drawn) {
    colours(chart);
    chart.update();
  }
});
