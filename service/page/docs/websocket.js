/** The messages of the socket, made from the service's own document, with a socket to talk over. */

import { html, useEffect, useState } from '../vendor/preact-htm.js';
import { requestJson } from '../api.js';
import { usePage } from '../page.js';
import { Console } from './console.js';
import { show } from './page.js';
import { Schemas } from './schema.js';

/** @typedef {import('./schema.js').Row} Row */
/** @typedef {{key: string, names: string[], summary: string, payload: any}} Entry messages that differ in their name alone */

const OF_CLIENT = 'client.';

/** @param {any} document @returns {{toClient: Entry[], toServer: Entry[]}} */
function entriesOf(document) {
  const all = Object.entries(document.components.messages).map(([key, { name, summary, payload }]) => ({
    isOfClient: key.startsWith(OF_CLIENT),
    entry: { key, names: [name.replace(OF_CLIENT, '')], summary, payload },
  }));
  const toClient = all.filter(({ isOfClient }) => !isOfClient).map(({ entry }) => entry);
  return { toClient: together(toClient), toServer: all.filter(({ isOfClient }) => isOfClient).map(({ entry }) => entry) };
}

/** @param {Entry[]} entries @returns {Entry[]} */
function together(entries) {
  /** @type {Entry[]} */ const groups = [];
  for (const entry of entries) {
    const last = groups.at(-1);
    if (last?.summary === entry.summary) last.names.push(...entry.names);
    else groups.push(entry);
  }
  return groups;
}

/** The document's words, with what it marks as code shown as such. @param {string} words */
function marked(words) {
  return words.split(/`+/).map((part, index) => (index % 2 ? html`<code>${part}</code>` : part));
}

/** @param {{name: string | null}} props */
function WebSocketPage({ name }) {
  const { i18n } = usePage();
  const [document, setDocument] = useState(/** @type {any} */ (null));
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  useEffect(() => void requestJson('/asyncapi.json').then(setDocument, setProblem), []);
  if (problem) return html`<p class="problem" role="alert">${i18n.problem(problem)}</p>`;
  if (!document) return null;
  const schemas = new Schemas(document.components.schemas);
  const { toClient, toServer } = entriesOf(document);
  const closeCodes = document.channels.socket['x-close-codes'];
  const examples = toServer.map(({ names, payload }) => ({ name: names[0], example: schemas.example(payload) }));
  const shapes = schemas.shapesUsed([...toClient, ...toServer].map(({ payload }) => payload));
  return html`<main>
    <p class="introduction">${marked(i18n.firstOf(['docs.introduction'], document.info.description))}</p>
    <${Console} name=${name} examples=${examples} closeCodes=${closeCodes} />
    <${Messages} id="toClient" entries=${toClient} schemas=${schemas} />
    <${Messages} id="toServer" entries=${toServer} schemas=${schemas} />
    <section aria-labelledby="shapes">
      <h3 id="shapes">${i18n.t('docs.shapes')}</h3>
      ${shapes.map((shape) => html`<${Shape} key=${shape} name=${shape} schemas=${schemas} />`)}
    </section>
    <${CloseCodes} codes=${closeCodes} />
    <${WithoutSocket} operations=${document.operations} />
  </main>`;
}

/** @param {{id: string, entries: Entry[], schemas: Schemas}} props */
function Messages({ id, entries, schemas }) {
  const { i18n } = usePage();
  return html`<section aria-labelledby=${id}>
    <h3 id=${id}>${i18n.t(`docs.${id}`)}</h3>
    ${entries.map((entry) => html`<${Message} key=${entry.key} entry=${entry} schemas=${schemas} />`)}
  </section>`;
}

/** @param {{entry: Entry, schemas: Schemas}} props */
function Message({ entry: { key, names, summary, payload }, schemas }) {
  const { i18n } = usePage();
  // Of several, the one that says the most.
  const name = names.find((each) => each === 'job.completed') ?? names[0];
  const example = { ...schemas.example(payload), type: name };
  return html`<details class="message" data-message=${key}>
    <summary>
      ${names.map((each) => html`<code key=${each}>${each}</code> `)}
      <span class="summary">${marked(i18n.firstOf([`docs.message.${key}`], summary))}</span>
    </summary>
    <${Jobs} names=${names} />
    <${Fields} rows=${rowsOf(names, schemas.rows(payload))} label=${names.join(', ')} />
    <pre tabindex="0" aria-label=${i18n.t('docs.example', { name })}>${JSON.stringify(example, null, 2)}</pre>
  </details>`;
}

/** The rows of messages that differ in their name alone. @param {string[]} names @param {Row[]} rows @returns {Row[]} */
function rowsOf(names, rows) {
  const type = [{ text: names.map((name) => JSON.stringify(name)).join(' | ') }];
  return rows.map((row) => (row.name === 'type' ? { ...row, type } : row));
}

/** What each of the job's messages says. @param {{names: string[]}} props */
function Jobs({ names }) {
  const { i18n } = usePage();
  if (names.length === 1) return null;
  return html`<dl class="kinds">
    ${names.map((name) => html`<div key=${name}><dt><code>${name}</code></dt><dd>${marked(i18n.t(`docs.${name}`))}</dd></div>`)}
  </dl>`;
}

/** @param {{name: string, schemas: Schemas}} props */
function Shape({ name, schemas }) {
  return html`<article class="shape">
    <h4 id=${`shape-${name}`} tabindex="-1">${name}</h4>
    <p lang="en">${marked(schemas.shapes[name].description ?? '')}</p>
    <${Fields} rows=${schemas.rows(schemas.shapes[name])} label=${name} />
  </article>`;
}

/** @param {{rows: Row[], label: string}} props */
function Fields({ rows, label }) {
  const { i18n } = usePage();
  return html`<div class="wide" role="group" tabindex="0" aria-label=${i18n.t('docs.fields', { name: label })}>
    <table>
      <thead>
        <tr>${['field', 'type', 'meaning'].map((head) => html`<th key=${head} scope="col">${i18n.t(`docs.${head}`)}</th>`)}</tr>
      </thead>
      <tbody>
        ${rows.map(
          ({ name, isRequired, type, description }) => html`<tr key=${name}>
            <th scope="row"><code>${name}</code> ${!isRequired && html`<small>${i18n.t('docs.optional')}</small>`}</th>
            <td><${Type} parts=${type} /></td>
            <td lang="en">${marked(description)}</td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** @param {{parts: import('./schema.js').Part[]}} props */
function Type({ parts }) {
  return html`<code>${parts.map(({ text, link }) => (link ? html`<a href=${`#shape-${link}`}>${text}</a>` : text))}</code>`;
}

/** @param {{codes: {code: number, meaning: string, reconnect: string}[]}} props */
function CloseCodes({ codes }) {
  const { i18n } = usePage();
  return html`<section aria-labelledby="close-codes">
    <h3 id="close-codes">${i18n.t('docs.closeCodes')}</h3>
    <div class="wide" role="group" tabindex="0" aria-label=${i18n.t('docs.closeCodes')}>
      <table data-testid="close-codes">
        <thead>
          <tr>${['code', 'meaning', 'reconnect'].map((head) => html`<th key=${head} scope="col">${i18n.t(`docs.${head}`)}</th>`)}</tr>
        </thead>
        <tbody>
          ${codes.map(
            ({ code, meaning, reconnect }) => html`<tr key=${code}>
              <th scope="row"><code>${code}</code></th>
              <td>${i18n.firstOf([`docs.close.${code}`], meaning)}</td>
              <td>${i18n.firstOf([`docs.reconnect.${reconnect}`], reconnect)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
    <p>${i18n.t('docs.closeCodes.others')}</p>
  </section>`;
}

/** @param {{operations: Record<string, any>}} props */
function WithoutSocket({ operations }) {
  const { i18n } = usePage();
  return html`<section aria-labelledby="without-socket">
    <h3 id="without-socket">${i18n.t('docs.withoutSocket')}</h3>
    ${['stream', 'poll'].map((way) => html`<p key=${way}><code>GET /events</code> ${marked(i18n.firstOf([`docs.${way}`], operations[way].description))}</p>`)}
  </section>`;
}

await show('websocket', WebSocketPage);
