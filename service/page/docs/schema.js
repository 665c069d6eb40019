/** What a JSON schema of the document says, as rows of a table and as an example. */

/** @typedef {Record<string, any>} Schema */
/** @typedef {{text: string, link?: string}} Part a piece of a type's name; `link` is the shape it leads to */
/** @typedef {{name: string, isRequired: boolean, type: Part[], description: string}} Row */

const REFERENCE = '#/components/schemas/';
const TIME = '2026-11-20T09:00:02.143Z';

/** Of fields by name, or by shape and name; what is optional and not here is left out of examples. @type {Record<string, any>} */
const SAMPLES = {
  id: '01990f2c3d4e-0007',
  since: '01990f2c3d4e-0007',
  newestId: '01990f2c3d4e-0007',
  time: TIME,
  createdAt: '2026-11-20T09:00:00.000Z',
  updatedAt: TIME,
  tokenExpiresAt: '2026-11-20T10:00:00.000Z',
  resetsAt: '2026-11-21T00:00:00.000Z',
  connectionId: 'c_5f0e2a9b',
  userId: '3c2e8f1a-alice',
  pingSeconds: 25,
  jobId: 'job_01990f2c3b1a7c55',
  pipeline: 'profile-photo',
  version: 4,
  'Job.status': 'completed',
  terminal: true,
  attempt: 1,
  style: 'formal_interview',
  outputImageUrl: 'https://…',
  processingTime: 2143,
  result: { contentType: 'image/png', width: 512, height: 512, bytes: 400123 },
  'JobInBrief.version': 3,
  'JobInBrief.status': 'processing',
  stage: 'generating',
  fraction: 0.4,
  'Progress.message': 'Developing your picture',
  dailyLimit: 10,
  usedToday: 1,
  remainingQuota: 9,
  hasMore: false,
  'SnapshotData.quota': { dailyLimit: 10, usedToday: 1, remainingQuota: 9, resetsAt: '2026-11-21T00:00:00.000Z' },
  part: 'gemini',
  condition: 'throttled',
  'DegradedPart.reason': 'Gemini takes fewer requests just now',
  retryAfterSeconds: 30,
  'ResyncData.reason': 'The cursor is older than the log',
  ref: 'my-cancel',
  'CancelOkData.status': 'canceled',
  outcome: 'before_start',
  givenBack: true,
  'CancelOkData.message': 'The job is canceled',
  afterMs: 1800,
  'ErrorData.code': 'too_many_requests',
  'ErrorData.message': 'Too many messages',
  reportId: 'report_01990f2c3d4e',
  plateString: '12가3456',
  latitude: 37.5665,
  longitude: 126.978,
  firstCaptureTime: '2026-11-20 09:00:00',
  lastCaptureTime: '2026-11-20 09:06:00',
  similarity: 0.93,
  reportBool: true,
  token: '$TOKEN',
};

export class Schemas {
  /** @param {Record<string, Schema>} shapes the document's own, by name */
  constructor(shapes) {
    this.shapes = shapes;
  }

  /** A schema with its references followed and its parts put together. @param {Schema} schema @returns {Schema} */
  whole(schema) {
    if (schema.$ref) return this.whole(this.shapes[nameOf(schema)]);
    if (!schema.allOf) return schema;
    const parts = schema.allOf.map((/** @type {Schema} */ part) => this.whole(part));
    const properties = Object.assign({}, ...parts.map((/** @type {Schema} */ part) => part.properties));
    return { ...Object.assign({}, ...parts), properties };
  }

  /** A row for each field; those of `data` are among them. @param {Schema} schema @returns {Row[]} */
  rows(schema, prefix = '') {
    const { properties = {}, required = [] } = this.whole(schema);
    return Object.entries(properties).flatMap(([name, field]) => {
      if (name === 'data' && this.#isObject(field)) return this.rows(field, 'data.');
      const isRequired = required.includes(name);
      return [{ name: prefix + name, isRequired, type: this.#typeOf(field), description: field.description ?? '' }];
    });
  }

  /** The shapes that the rows of these schemas lead to, and those that theirs lead to. @param {Schema[]} schemas @returns {string[]} */
  shapesUsed(schemas) {
    const found = new Set(/** @type {string[]} */ ([]));
    const follow = (/** @type {Schema} */ schema) => {
      for (const { link } of this.rows(schema).flatMap(({ type }) => type)) {
        if (!link || found.has(link)) continue;
        found.add(link);
        follow(this.shapes[link]);
      }
    };
    schemas.forEach(follow);
    return [...found];
  }

  /** @param {Schema} schema @returns {any} */
  example(schema) {
    const { properties, required = [], title, type, ...whole } = this.whole(schema);
    if ('const' in whole) return whole.const;
    if (whole.enum) return whole.enum[0];
    if (whole.anyOf) return this.example(whole.anyOf[0]);
    if (type === 'array') return [this.example(whole.items)];
    if (!properties) return { string: '…', integer: 0, number: 0, boolean: false, object: {} }[/** @type {string} */ (type)];
    const shown = Object.entries(properties).filter(([name]) => required.includes(name) || this.#sample(title, name) !== undefined);
    return Object.fromEntries(shown.map(([name, field]) => [name, this.#valueOf(title, name, field)]));
  }

  /** @param {string} title @param {string} name @param {Schema} field */
  #valueOf(title, name, field) {
    return 'const' in field ? field.const : (this.#sample(title, name) ?? this.example(field));
  }

  /** @param {string} title @param {string} name */
  #sample(title, name) {
    return SAMPLES[`${title}.${name}`] ?? SAMPLES[name];
  }

  /** @param {Schema} schema */
  #isObject(schema) {
    return Boolean(this.whole(schema).properties);
  }

  /** @param {Schema} schema @returns {Part[]} */
  #typeOf(schema) {
    if (schema.$ref && this.#isObject(schema)) return [{ text: nameOf(schema), link: nameOf(schema) }];
    const { type, items, ...whole } = this.whole(schema);
    if ('const' in whole) return [{ text: JSON.stringify(whole.const) }];
    if (whole.enum) return [{ text: whole.enum.map((/** @type {any} */ value) => JSON.stringify(value)).join(' | ') }];
    if (type === 'array') return [...this.#typeOf(items), { text: '[]' }];
    if (!whole.anyOf) return [{ text: type }];
    return whole.anyOf.flatMap((/** @type {Schema} */ each, /** @type {number} */ index) => [
      ...(index ? [{ text: ' | ' }] : []),
      ...this.#typeOf(each),
    ]);
  }
}

/** @param {Schema} schema */
function nameOf({ $ref }) {
  return $ref.slice(REFERENCE.length);
}
