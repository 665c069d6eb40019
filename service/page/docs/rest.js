/** The REST routes, shown by Swagger UI from the service's own document, to read and to try as the person of this tab. */

import { html, useEffect, useRef, useState } from '../vendor/preact-htm.js';
import { requestJson } from '../api.js';
import { usePage } from '../page.js';
import { show } from './page.js';

const DARK = matchMedia('(prefers-color-scheme: dark)');

/** The viewer's own dark colours, when the system's are dark. */
function followColours() {
  document.documentElement.classList.toggle('dark-mode', DARK.matches);
}

/** The viewer leaves the document's introduction outside of every landmark, and the choice of an example without a name. */
const ACCESSIBLE = {
  wrapComponents: {
    InfoContainer: within('section', { 'aria-label': 'Introduction' }),
    ExamplesSelect: within('label', {}, 'Which example'),
  },
};

/** Put a component of the viewer into an element. @param {string} element @param {object} attributes @param {string} [unseen] words */
function within(element, attributes, unseen) {
  return (/** @type {any} */ Original, /** @type {any} */ { React }) => (/** @type {any} */ props) =>
    React.createElement(
      element,
      attributes,
      unseen && React.createElement('span', { className: 'unseen' }, unseen),
      React.createElement(Original, props),
    );
}

class Viewer {
  /** @type {any} */ #ui;
  #given = '';
  #isReady = false;

  /** @param {HTMLElement} place @param {any} document @param {import('../session.js').Session} session */
  constructor(place, document, session) {
    this.session = session;
    const schemes = document.components.securitySchemes;
    this.tokenSchemes = Object.keys(schemes).filter((name) => schemes[name].scheme === 'bearer');
    const { SwaggerUIBundle } = /** @type {any} */ (globalThis);
    this.#ui = SwaggerUIBundle({
      domNode: place,
      // The service may be reached under more names than its own; another origin is not this page's to call.
      spec: { ...document, servers: undefined },
      presets: [SwaggerUIBundle.presets.apis],
      plugins: [ACCESSIBLE],
      layout: 'BaseLayout',
      // Its default sends the document to a foreign host.
      validatorUrl: null,
      syntaxHighlight: { theme: 'monokai' },
      displayRequestDuration: true,
      docExpansion: 'list',
      defaultModelsExpandDepth: 0,
      requestInterceptor: this.#keepFresh,
      onComplete: () => {
        this.#isReady = true;
        this.signIn();
      },
    });
  }

  /** Fill in the token of the person who is signed in, or take it away. */
  async signIn() {
    if (!this.#isReady) return;
    if (!this.session.name && this.#given) this.#ui.authActions.logout(this.tokenSchemes);
    this.#given = this.session.name ? await this.session.token() : '';
    if (!this.#given) return;
    for (const name of this.tokenSchemes) this.#ui.preauthorizeApiKey(name, this.#given);
  }

  /** A token that was filled in may have aged since; one that the reader has typed is left alone. @param {any} request */
  #keepFresh = async (request) => {
    if (this.#given && request.headers?.Authorization === `Bearer ${this.#given}`) {
      request.headers.Authorization = `Bearer ${await this.session.token()}`;
    }
    return request;
  };
}

/** @param {{name: string | null}} props */
function Rest({ name }) {
  const { i18n, session } = usePage();
  const place = useRef(/** @type {any} */ (null));
  const viewer = useRef(/** @type {Viewer | null} */ (null));
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  useEffect(() => {
    const open = (/** @type {any} */ document) => {
      viewer.current = new Viewer(place.current, document, session);
    };
    requestJson('/openapi.json').then(open, setProblem);
  }, []);
  useEffect(() => void viewer.current?.signIn(), [name]);
  return html`${problem && html`<p class="problem" role="alert">${i18n.problem(problem)}</p>`}
    <div ref=${place} lang="en" data-testid="viewer"></div>`;
}

DARK.addEventListener('change', followColours);
followColours();
await show('rest', Rest);
