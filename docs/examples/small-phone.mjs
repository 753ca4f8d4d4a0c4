// A small phone in plain JavaScript, without any library: what docs/reference/sync-protocol.md says, and nothing else.
//
//     node docs/examples/small-phone.mjs http://127.0.0.1:8300 YQ001 paigong-demo
//
// It registers, pulls in pages, sets out on a visit, edits a site, meets a conflict, decides it, hears a hint, and gives
// itself back. `Phone` keeps its state as one JSON value; an app stores that before it shows anything to a person.
// What a whole client does besides: compare (reconcile), gaps and restores of the server, `void`, rescue, files.
import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto"

const SCHEMA = 1
const PAUSES = [1, 2, 4, 8]
const GROUPS = {
  site: [["address", "lat", "lon", "position_source", "position_confidence"]],
  asset: [["asset_type", "asset_model_id"]],
  contact_point: [["kind", "address"], ["consent", "consented_at"]],
}
const ANSWER = "application/problem+json"
const now = () => new Date().toISOString()
const sha256 = (text) => createHash("sha256").update(text).digest()
const share = (entity, row, body) => BigInt("0x" + sha256(`${entity}|${row}|${body}`).subarray(0, 6).toString("hex"))
const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000))

// A UUIDv7: 48 bits of milliseconds, then random bits.
export function newId() {
  const hex = Date.now().toString(16).padStart(12, "0") + randomBytes(10).toString("hex")
  const variant = ((parseInt(hex[16], 16) & 3) | 8).toString(16)
  return [hex.slice(0, 8), hex.slice(8, 12), "7" + hex.slice(13, 16), variant + hex.slice(17, 20), hex.slice(20)].join("-")
}

// The end of the JSON value that begins at `start`.
function valueEnd(text, start) {
  let depth = 0, quoted = false
  for (let at = start; at < text.length; at++) {
    const mark = text[at]
    if (quoted) { if (mark === "\\") at++; else if (mark === '"') quoted = false; }
    else if (mark === '"') quoted = true
    else if (mark === "{" || mark === "[") depth++
    else if (mark === "}" || mark === "]") { if (--depth < 0) return at; if (depth === 0) return at + 1 }
    else if (mark === "," && depth === 0) return at
  }
  return text.length
}

// The bodies of an answer's `put`s as they came, byte for byte; JSON.parse would lose the difference of 31.0 and 31.
export function bodiesOf(answer, text) {
  let at = text.indexOf('"ops":[') + 7
  return answer.ops.map((op) => {
    const end = valueEnd(text, at), raw = text.slice(at, end)
    at = end + 1
    return op.op === "put" ? raw.slice(raw.indexOf('"body":') + 7, -1) : null
  })
}

export const digest = (incarnation, cookie, page) =>
  sha256(`${incarnation}|${cookie ?? ""}|${page ?? ""}`).toString("hex").slice(0, 16)

export function checkOf(rows = {}) {
  const shares = Object.entries(rows).map(([key, body]) => share(...key.split("/"), body))
  return { count: shares.length, sum: Number(shares.reduce((one, other) => one + other, 0n) % (1n << 48n)) }
}

// Rows by bucket and "entity/row", after the pages of one pull.
export function swapped(held, pages) {
  const buckets = pages[0].reset ? {} : structuredClone(held)
  for (const page of pages) page.ops.forEach((op, index) => {
    if (op.op === "drop") delete buckets[op.bucket]
    else if (op.op === "put") (buckets[op.bucket] ??= {})[`${op.entity}/${op.row}`] = page.bodies[index]
    else delete buckets[op.bucket]?.[`${op.entity}/${op.row}`]
  })
  return buckets
}

export class Refused extends Error {
  constructor(status, problem) {
    super(`${status} ${problem.code}`)
    Object.assign(this, { status, code: problem.code, problem })
  }
}

export class Phone {
  constructor(server) {
    this.server = server
    this.key = generateKeyPairSync("ed25519")
    this.state = { buckets: {}, cookie: null, v: null, pages: [], acked: 0, outbox: [], made: 0, wiped: false }
  }

  get publicKey() { return this.key.publicKey.export({ format: "jwk" }).x }

  async register(code, login, password) {
    const offer = { code, public_key: this.publicKey, name: "small phone", app_version: "1", schema: SCHEMA }
    this.state.identity = await this.ask("/sync/v1/devices", offer)
    this.state.tokens = await this.ask("/auth/sign-in", { login, password, device_id: this.state.identity.device })
  }

  // Post the same bytes until the server itself has answered.
  async ask(path, message) {
    const body = JSON.stringify(message)
    for (const pause of [...PAUSES, null]) {
      const answer = await this.once(path, body).catch(() => null)
      if (answer?.status === 204) return null
      const type = answer?.headers.get("content-type") ?? ""
      const text = await answer?.text().catch(() => undefined)
      if (answer?.ok && text !== undefined) {
        const said = JSON.parse(text)
        return said.ops ? { ...said, bodies: bodiesOf(said, text) } : said
      }
      const again = !answer || [408, 425, 429].includes(answer.status) || answer.status >= 500 || !type.startsWith(ANSWER)
      if (!again && answer.status === 401 && path.startsWith("/sync/") && await this.refresh()) continue
      if (!again || pause === null) throw again ? new Error("offline") : new Refused(answer.status, JSON.parse(text))
      await wait(Math.min(Math.max(pause, Number(answer?.headers.get("retry-after")) || 0), 60))
    }
  }

  once(path, body) {
    const { identity, tokens } = this.state
    const headers = { "Content-Type": "application/json", "Device-Time": now(),
      "Device-Monotonic": String(Math.round(performance.now())) }
    if (tokens) headers.Authorization = `Bearer ${tokens.access_token}`
    if (identity) {
      headers["Device-Id"] = identity.device
      const signature = sign(null, Buffer.from(`${path}\n${body}`), this.key.privateKey)
      headers["Device-Signature"] = signature.toString("base64url")
    }
    return fetch(this.server + path, { method: "POST", body, headers, redirect: "error" })
  }

  async refresh() {
    const { identity, tokens } = this.state
    const offer = { refresh_token: tokens.refresh_token, device_id: identity.device }
    const answer = await this.once("/auth/refresh", JSON.stringify(offer))
    if (answer.ok) this.state.tokens = await answer.json()
    return answer.ok
  }

  // What a person does: numbered, kept, and sent at the next contact.
  did(name, entity, row, content) {
    if (this.state.wiped) throw new Error("wiped")
    const known = { id: newId(), n: ++this.state.made, name, schema: SCHEMA, occurred_at: now(), base_v: this.state.v }
    const mutation = { ...known, entity, row, ...content }
    this.state.outbox.push({ ...mutation, result: null })
    return mutation.id
  }

  edit(entity, row, changes) {
    const seen = this.shown(entity, row)
    const groupOf = (name) => GROUPS[entity]?.find((group) => group.includes(name)) ?? [name]
    const after = { ...seen, ...changes }
    const edits = Object.keys(changes).flatMap(groupOf).map((name) => [name, { was: seen[name], now: after[name] }])
    return this.did("edit", entity, row, { fields: Object.fromEntries(edits) })
  }

  decide(conflict, take, values = {}) {
    const known = this.held("field_conflict", conflict), row = this.held(known.entity, known.subject_id)
    const names = known.field === "*" ? Object.keys(known.base) : Object.keys({ ...known.base, ...known.mine })
    const seen = row ? Object.fromEntries(names.map((name) => [name, row[name]])) : {}
    return this.did("conflict.decide", "field_conflict", conflict, { args: { take, seen, values } })
  }

  async push() {
    for (let size = 200; ;) {
      const batch = this.state.outbox.filter((item) => !item.result).slice(0, size)
      if (!batch.length) return
      try {
        const mutations = batch.map(({ result, ...mutation }) => mutation)
        this.take(await this.ask("/sync/v1/push", { incarnation: this.state.identity.incarnation, mutations }))
        size = 200
      } catch (error) {
        if (error.status === 413 && size > 1) size = Math.ceil(batch.length / 2)
        else if (["n_taken", "unknown_incarnation"].includes(error.code)) await this.renew()
        else throw error
      }
    }
  }

  take({ results, notices = [] }) {
    for (const item of this.state.outbox) item.result ??= results.find((result) => result.id === item.id) ?? null
    if (notices.includes("wipe")) this.wipe()
  }

  async renew() {
    this.state.identity = await this.ask("/sync/v1/incarnations", {})
    this.state.outbox = this.state.outbox.filter((item) => !item.result)
    this.state.outbox.forEach((item, index) => { item.n = index + 1 })
    Object.assign(this.state, { made: this.state.outbox.length, acked: 0, pages: [] })
  }

  // Pull until there is a cookie; returns how many pages it took.
  async pull(maxBytes = 1 << 20) {
    for (let pages = 1; ; pages++) {
      const { identity: { incarnation }, cookie } = this.state, page = this.state.pages.at(-1)?.page ?? null
      const question = { incarnation, schema: SCHEMA, cookie, page, max_bytes: maxBytes }
      const answer = await this.ask("/sync/v1/pull", question).catch((error) => this.mend(error))
      if (answer === undefined) continue
      if (answer === null) return 0
      if (answer.of !== digest(incarnation, cookie, page)) continue
      if (answer.notices?.includes("wipe")) return this.wipe()
      if (answer.notices?.includes("upgrade")) throw new Error("this app is too old")
      this.state.pages.push({ ...answer, ops: answer.ops ?? [], bodies: answer.bodies ?? [] })
      if (answer.cookie) return this.swap(answer) ? pages : this.pull(maxBytes)
    }
  }

  // What a refused pull asks for; anything else waits for the next contact.
  async mend(error) {
    if (error.code === "bad_cookie" && !this.state.pages.length) this.state.cookie = null
    else if (error.code === "unknown_incarnation") await this.renew()
    else if (!["bad_cookie", "page_expired"].includes(error.code)) throw error
    this.state.pages = []
  }

  // Change over to the new rows at once; without their checks, ask for everything next time.
  swap(last) {
    const buckets = swapped(this.state.buckets, this.state.pages)
    const good = Object.entries(last.checks ?? {}).every(([name, check]) => {
      const mine = checkOf(buckets[name])
      return mine.count === check.count && mine.sum === check.sum
    })
    Object.assign(this.state, { buckets, cookie: good ? last.cookie : null, v: last.v, acked: last.acked_n, pages: [] })
    return good
  }

  wipe() {
    Object.assign(this.state, { wiped: true, buckets: {}, cookie: null, pages: [] })
  }

  held(entity, row) {
    const body = Object.values(this.state.buckets).map((rows) => rows[`${entity}/${row}`]).find(Boolean)
    return body && JSON.parse(body)
  }

  // A row as the person sees it: the last pull, with this phone's unfinished work on top.
  shown(entity, row) {
    const seen = this.held(entity, row)
    for (const { n, name, entity: on, row: of, fields = {}, result } of this.state.outbox) {
      const stands = !result || !["rejected", "quarantined"].includes(result.status)
      if (seen && name === "edit" && on === entity && of === row && n > this.state.acked && stands)
        for (const [field, { now }] of Object.entries(fields)) if (!result?.held?.includes(field)) seen[field] = now
    }
    return seen
  }

  all(entity) {
    const keys = Object.values(this.state.buckets).flatMap((rows) => Object.keys(rows))
    return keys.filter((key) => key.startsWith(entity + "/")).map((key) => this.shown(...key.split("/")))
  }

  // Wait for the server to tell of a `v` above ours.
  async hint() {
    const headers = { Authorization: `Bearer ${this.state.tokens.access_token}`, Accept: "text/event-stream" }
    const answer = await fetch(this.server + "/sync/v1/hints", { headers })
    let told = ""
    for await (const part of answer.body) {
      told += Buffer.from(part)
      const v = [...told.matchAll(/^data: (\d+)$/gm)].map((found) => Number(found[1])).at(-1) ?? 0
      if (v > this.state.v) return v
    }
    return 0
  }
}

// What the office does, or the person signed in elsewhere: asking without a phone.
class Office {
  constructor(server, login, password) { Object.assign(this, { server, offer: { login, password } }) }

  async signIn() {
    const said = await this.ask("POST", "/auth/sign-in", this.offer)
    Object.assign(this, { token: said.access_token, person: said.person_id })
  }

  async ask(method, path, message) {
    const headers = { "Content-Type": "application/json", ...(this.token && { Authorization: `Bearer ${this.token}` }) }
    const answer = await fetch(this.server + path, { method, headers, body: message && JSON.stringify(message) })
    const said = answer.status === 204 ? null : await answer.json()
    if (!answer.ok) throw new Refused(answer.status, said)
    return said
  }

  async code() { return (await this.ask("POST", `/people/${this.person}/enrolment-codes`)).code }

  revoke(phone) { return this.ask("DELETE", `/people/${this.person}/devices/${phone.state.identity.device}`) }
}

async function day(server, login, password) {
  const office = new Office(server, login, password), phones = [new Phone(server), new Phone(server)]
  await office.signIn()
  for (const phone of phones) await phone.register(await office.code(), login, password)
  try { await work(...phones) } finally { for (const phone of phones) await office.revoke(phone) }
  const [phone] = phones, [order] = phone.all("work_order")
  phone.did("note.add", "work_order", order.id, { args: { id: newId(), text: "written after the phone was lost" } })
  await phone.push()
  console.log(`revoked: ${phone.state.outbox.at(-1).result.code}, rows left: ${phone.all("site").length}`)
}

async function work(phone, other) {
  const pages = await phone.pull(65536)
  console.log(`pages: ${pages}, visits: ${phone.all("visit").length}, sites: ${phone.all("site").length}`)
  await other.pull()
  const visit = phone.all("visit").find((one) => one.state === "planned"), [site] = phone.all("site")
  phone.did("visit.event", "visit", visit.id, { args: { id: newId(), kind: "depart", claimed_at: now() } })
  phone.edit("site", site.id, { access_notes: `north gate ${newId()}` })
  await phone.push()
  other.edit("site", site.id, { access_notes: "south gate" })
  await other.push()
  const { status, conflicts } = other.state.outbox[0].result
  console.log("results:", ...phone.state.outbox.map((item) => item.result.status), "and", status)
  await other.pull()
  await phone.pull()
  const heard = phone.hint()
  other.decide(conflicts[0], "values", { access_notes: "north gate by day, south gate by night" })
  await other.push()
  console.log(`a hint came: ${await heard > phone.state.v}`)
  await phone.pull()
  console.log(`decided: ${phone.shown("site", site.id).access_notes}`)
  console.log(`nothing new: ${await phone.pull()} pages`)
}

if (import.meta.url === `file://${process.argv[1]}`) await day(...process.argv.slice(2))
