/** The whole recording in one strip; a window on it shows what the paper shows. */

import { useEffect, useRef } from "react";
import { palette } from "../draw/palette";
import { addTrace, levelOf } from "../draw/trace";
import { type Cell, type Scale } from "../core/geometry";
import { clock } from "../core/format";
import type { Tiles } from "../signal/tiles";
import { onColours } from "../ui/settings";
import type { Actions } from "./actions";
import { useView } from "./store";

export function Overview({ actions, tiles }: { actions: Actions; tiles: Tiles }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { store } = actions;
  const seconds = store.info.seconds;

  useEffect(() => {
    const element = canvas.current;
    const context = element?.getContext("2d", { alpha: false });
    if (!element || !context) return;
    const ratio = window.devicePixelRatio || 1;
    // The trace is drawn once into a picture; scrolling only moves the window over it.
    const picture = document.createElement("canvas");
    let frame = 0;
    let complete = false;
    let drawnFor = "";
    const paint = () => {
      frame = 0;
      const [width, height] = [element.clientWidth, element.clientHeight];
      const colours = palette(element);
      const { filter, notch, start } = store.get();
      const wanted = `${width}x${height}|${filter}|${notch}|${colours.paper}`;
      if (!complete || wanted !== drawnFor) {
        picture.width = Math.round(width * ratio);
        picture.height = Math.round(height * ratio);
        const pen = picture.getContext("2d");
        if (!pen) return;
        pen.scale(ratio, ratio);
        pen.fillStyle = colours.paper;
        pen.fillRect(0, 0, width, height);
        const scale: Scale = { pxPerMm: 1, speed: width / seconds, gain: height / 4 };
        const cell: Cell = {
          lead: store.rhythm, row: 0, column: 0, x: 0, width, top: 0, height, baseline: height * 0.6, start: 0, stop: seconds,
        };
        pen.beginPath();
        complete = addTrace(pen, tiles, cell, scale, levelOf(tiles, scale, ratio));
        tiles.pump();
        pen.strokeStyle = colours.label;
        pen.lineWidth = 0.8;
        pen.stroke();
        drawnFor = wanted;
      }
      element.width = picture.width;
      element.height = picture.height;
      context.drawImage(picture, 0, 0);
      context.scale(ratio, ratio);
      const page = store.laidOut;
      const x = ((page?.start ?? start) / seconds) * width;
      const wide = Math.max(4, ((page?.window ?? seconds) / seconds) * width);
      context.fillStyle = colours.window;
      context.globalAlpha = 0.18;
      context.fillRect(x, 0, wide, height);
      context.globalAlpha = 1;
      context.strokeStyle = colours.window;
      context.lineWidth = 1.5;
      context.strokeRect(x + 0.75, 0.75, wide - 1.5, height - 1.5);
    };
    const request = () => {
      frame ||= requestAnimationFrame(paint);
    };
    const resize = new ResizeObserver(request);
    resize.observe(element);
    const leave = store.subscribe(request);
    const plain = onColours(request);
    const again = window.setInterval(() => {
      if (!complete) request();
    }, 250);
    return () => {
      cancelAnimationFrame(frame);
      window.clearInterval(again);
      resize.disconnect();
      leave();
      plain();
    };
  }, [seconds, store, tiles]);

  const go = (event: React.PointerEvent<HTMLCanvasElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    actions.centreOn(((event.clientX - box.left) / box.width) * seconds);
  };
  const at = useView(store, (state) => Math.round(state.start * 10) / 10);
  return (
    <div className="overview">
      <canvas
        ref={canvas}
        tabIndex={0}
        role="slider"
        aria-label="Place in the recording, in seconds"
        aria-valuemin={0}
        aria-valuemax={Math.round(seconds * 10) / 10}
        aria-valuenow={at}
        aria-valuetext={`${clock(at)} of ${clock(seconds)}`}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          go(event);
        }}
        onPointerMove={(event) => {
          if (event.buttons & 1) go(event);
        }}
        onKeyDown={(event) => {
          const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: -10, PageDown: 10 }[event.key];
          if (step !== undefined) actions.screens(step);
          else if (event.key === "Home") actions.goTo(0);
          else if (event.key === "End") actions.goTo(Infinity);
          else return;
          event.preventDefault();
        }}
      />
    </div>
  );
}
