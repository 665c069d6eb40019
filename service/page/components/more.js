/** The way further back: a button, which presses itself when it is scrolled to. */

import { html, useEffect, useRef, useState } from '../vendor/preact-htm.js';
import { asProblem, usePage, useProblem } from '../page.js';

/** @param {{studio: import('../studio.js').Studio, isEmpty: boolean}} props */
export function More({ studio, isEmpty }) {
  const { i18n, view } = usePage();
  const [isBusy, setIsBusy] = useState(false);
  const [problem, setProblem] = useProblem();
  const isLoading = useRef(false);
  const load = async () => {
    if (isLoading.current) return;
    isLoading.current = true;
    setIsBusy(true);
    setProblem(null);
    try {
      await studio.loadMore(view.pipeline);
    } catch (error) {
      setProblem(asProblem(error));
    }
    isLoading.current = false;
    setIsBusy(false);
  };
  // The newest jobs may all be of other pipelines.
  useEffect(() => void (isEmpty && load()), []);
  // What comes under the gallery would run away from who scrolls to it.
  const button = useSeen(() => !problem && !view.Below && load());
  return html`<p class="more">
    <button type="button" data-testid="more" ref=${button} aria-disabled=${isBusy} onClick=${load}>${i18n.of(view, 'gallery.more')}</button>
    ${problem && html`<span class="problem" role="alert">${i18n.problem(problem)}</span>`}
  </p>`;
}

/** Call when the element comes into sight by scrolling; not when it is there from the start. @param {() => unknown} onSeen */
function useSeen(onSeen) {
  const element = useRef(/** @type {HTMLElement | null} */ (null));
  const newest = useRef(onSeen);
  newest.current = onSeen;
  useEffect(() => {
    let wasHidden = false;
    const observer = new IntersectionObserver(([{ isIntersecting }]) => {
      if (isIntersecting && wasHidden) newest.current();
      wasHidden = !isIntersecting;
    });
    if (element.current) observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return element;
}
