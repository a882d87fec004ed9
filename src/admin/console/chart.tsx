/** A line chart over time: uPlot draws it, the legend beside it says the numbers. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { useConsole } from "./context.ts";
import { MISSING } from "./format.ts";

export interface ChartSeries {
  label: string;
  /** Name of a custom property of app.css. */
  color: string;
  values: (number | null)[];
}

const HEIGHT_PX = 170;
const SHORTEST_SPAN_SECONDS = 60;
const NARROW_AXIS_PX = 58;

export function Chart(
  { title, times, series, format }: {
    title: string;
    /** Seconds since the epoch, rising. */
    times: number[];
    series: readonly ChartSeries[];
    format: (value: number | null) => string;
  },
) {
  const { dark } = useConsole();
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const pointed = useSignal<number | null>(null);
  const look = `${dark.value} ${series.map(({ label, color }) => `${label} ${color}`).join()}`;

  useEffect(() => {
    const element = host.current;
    if (element === null) return;
    const chart = new uPlot(
      options(element, series, format, (index) => pointed.value = index),
      data(times, series),
      element,
    );
    plot.current = chart;
    const resized = new ResizeObserver(() =>
      chart.setSize({ width: element.clientWidth, height: HEIGHT_PX })
    );
    resized.observe(element);
    return () => {
      resized.disconnect();
      chart.destroy();
      plot.current = null;
    };
  }, [look]);

  useEffect(() => plot.current?.setData(data(times, series)), [times, series]);

  const at = pointed.value ?? times.length - 1;
  const readings = series.map(({ label, color, values }) => ({
    label,
    color,
    text: times.length === 0 ? MISSING : format(values[at] ?? null),
  }));
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{title}</span>
        <ul class="legend">
          {readings.map(({ label, color, text }) => (
            <li key={label}>
              <span class="swatch" style={{ background: `var(${color})` }} aria-hidden="true" />
              {label} <b>{text}</b>
            </li>
          ))}
        </ul>
      </figcaption>
      <div
        ref={host}
        class="plot"
        role="img"
        aria-label={`${title}: ${readings.map(({ label, text }) => `${label} ${text}`).join(", ")}`}
      />
    </figure>
  );
}

function data(times: number[], series: readonly ChartSeries[]): uPlot.AlignedData {
  return [times, ...series.map(({ values }) => values)];
}

function options(
  host: HTMLElement,
  series: readonly ChartSeries[],
  format: (value: number | null) => string,
  onPoint: (index: number | null) => void,
): uPlot.Options {
  const grid = { stroke: resolve(host, "--grid"), width: 1 };
  const axis = {
    stroke: resolve(host, "--muted"),
    grid,
    ticks: { show: false },
    font: "11px system-ui, sans-serif",
  };
  return {
    width: host.clientWidth,
    height: HEIGHT_PX,
    padding: [10, 8, 0, 0],
    legend: { show: false },
    cursor: { drag: { setScale: false }, y: false },
    hooks: {
      setCursor: [({ cursor }) => onPoint(cursor.idx ?? null)],
    },
    scales: {
      x: { range: (_, from, to) => [Math.min(from, to - SHORTEST_SPAN_SECONDS), to] },
      y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] },
    },
    axes: [
      { ...axis, space: 90, size: 22, values: (_, ticks) => ticks.map(clock) },
      { ...axis, size: NARROW_AXIS_PX, space: 36, values: (_, ticks) => ticks.map(format) },
    ],
    series: [
      {},
      ...series.map(({ label, color }) => ({
        label,
        stroke: resolve(host, color),
        width: 1.5,
        points: { show: false },
        spanGaps: true,
      })),
    ],
  };
}

function clock(secondsSinceEpoch: number): string {
  const date = new Date(secondsSinceEpoch * 1000);
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((value) => String(value).padStart(2, "0")).join(":");
}

/** What a custom property comes to where it is used: a canvas does not know `var()` and `light-dark()`. */
function resolve(host: HTMLElement, property: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${property})`;
  host.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
