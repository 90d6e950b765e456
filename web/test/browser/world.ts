// The world of the browser tests: the program itself with a PostgreSQL of its own, one for each test file, and in it a clinic of its own
// for each test. What people do in a page is in chat.ts.

import assert from "node:assert/strict"
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { createInterface } from "node:readline"
import { after, test as nodeTest, type TestContext } from "node:test"
import { setTimeout as pause } from "node:timers/promises"
import { type Browser, type BrowserContextOptions, chromium } from "playwright-core"
import { Chat, embed, type Embedding } from "./chat"
import { Proxy } from "./proxy"

/** How long anything may take on a busy machine, in milliseconds. */
export const patience = 20_000

/** Waits until something is as it should be, and says what it was last if it never is. */
export async function eventually<T>(what: string, read: () => Promise<T> | T, is: (value: T) => boolean): Promise<T> {
  const giveUp = Date.now() + patience
  for (;;) {
    const value = await read()
    if (is(value)) return value
    if (Date.now() > giveUp) assert.fail(`it did not happen: ${what}; at last it was ${JSON.stringify(value)}`)
    await pause(25)
  }
}

/** Waits until a list or the like is to the letter what is wanted. */
export async function becomes<T>(what: string, read: () => Promise<T> | T, wanted: T) {
  const last = await eventually(what, read, (value) => JSON.stringify(value) === JSON.stringify(wanted)).catch(() =>
    read(),
  )
  assert.deepEqual(last, wanted, what)
}

const web = resolve(import.meta.dirname, "../..")
const binary = process.env.CORRIDOR_BINARY ?? resolve(web, "../bin/corridor")
const executablePath = process.env.CORRIDOR_CHROMIUM ?? "/usr/bin/chromium"

/** Settings of the program, as environment variables. The demo clinic is made only if `CORRIDOR_DEMO` is `true`. */
export type Settings = Record<string, string>

/** Starts a server and closes it, with everything that was opened, when the tests of the file are over. */
export async function startWorld(settings: Settings = {}): Promise<World> {
  // PostgreSQL does not run as root: its user must be able to enter also if we are.
  const home = await mkdtemp(join(tmpdir(), "corridor-browser-"))
  await chmod(home, 0o711)
  const world = new World(home, settings)
  after(() => world.close())
  await world.server.start()
  return world
}

export class World {
  readonly server: Server
  readonly #others: Server[] = []
  readonly #proxies: Proxy[] = []
  readonly #home: string
  #browser: Promise<Browser> | undefined
  #clinics = 0

  constructor(home: string, settings: Settings) {
    this.#home = home
    this.server = new Server(join(home, "data"), settings)
  }

  /** The server's origin. */
  get url(): string {
    return this.server.url
  }

  /**
   * A test with a clinic of its own: `test("S10 …", async ({ ann, bob }) => …)`. Whatever it opens is closed behind it, and a page that
   * did something it should not makes it fail.
   */
  readonly test = (title: string, story: (clinic: Clinic, t: TestContext) => Promise<void>, roster?: Roster) => {
    void nodeTest(title, async (t) => {
      const clinic = await this.clinic(undefined, roster)
      try {
        await story(clinic, t)
        for (const chat of clinic.chats) chat.assertClean()
      } catch (failure) {
        for (const [i, chat] of clinic.chats.entries()) {
          const path = join(
            tmpdir(),
            "corridor-failures",
            `${title.replace(/[^\w]+/g, "-").slice(0, 80)}-${String(i)}.png`,
          )
          await chat.page.screenshot({ path, timeout: 5_000 }).then(
            () => console.error(`${chat.name} saw ${path}`),
            () => undefined,
          )
          if (chat.complaints.length > 0) console.error(`${chat.name}: ${chat.complaints.join("\n")}`)
        }
        throw failure
      } finally {
        await Promise.all(clinic.chats.map((chat) => chat.page.context().close()))
      }
    })
  }

  /** A new clinic: the people of `people` below, or of a roster of one's own. */
  async clinic(name = `Clinic ${String(++this.#clinics)}`, roster: Roster = people): Promise<Clinic> {
    const clinic = new Clinic(this, name, this.#clinics)
    await clinic.imports(roster, "--new-clinic")
    return clinic
  }

  /** Runs a command of the program. */
  async runs(...command: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      execFile(
        binary,
        command,
        { env: environment(this.server.settings), timeout: 60_000 },
        (error, stdout, stderr) => {
          if (error) reject(new Error(`corridor ${command.join(" ")}: ${stderr}`, { cause: error }))
          else resolve(stdout.trim())
        },
      )
    })
  }

  /** Writes a file that commands can read. */
  async writes(name: string, content: string): Promise<string> {
    const path = join(this.#home, name)
    await writeFile(path, content)
    return path
  }

  /** Another instance on the same database. */
  async anotherServer(): Promise<Server> {
    const server = new Server(this.server.dataDir, this.server.given)
    this.#others.push(server)
    await server.start()
    return server
  }

  /** A way to the server that can be cut. */
  async proxy(): Promise<Proxy> {
    const proxy = await Proxy.to(() => this.url)
    this.#proxies.push(proxy)
    return proxy
  }

  /** The one browser of the file. */
  browser(): Promise<Browser> {
    this.#browser ??= chromium.launch({
      executablePath,
      args: [
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-quic",
        "--no-first-run",
        "--disable-dev-shm-usage",
        "--autoplay-policy=no-user-gesture-required",
        "--mute-audio",
      ],
    })
    return this.#browser
  }

  async close() {
    await (await this.#browser?.catch(() => undefined))?.close()
    for (const proxy of this.#proxies) proxy.close()
    for (const server of this.#others) await server.stop()
    await this.server.stop()
    await rm(this.#home, { recursive: true, force: true })
  }
}

/** The environment without settings of Corridor's, and with these. */
function environment(settings: Settings): NodeJS.ProcessEnv {
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith("CORRIDOR_") && name !== "DATABASE_URL")
  return { ...Object.fromEntries(clean), ...settings }
}

/** The program, running. */
export class Server {
  url = ""
  readonly #settings: Settings
  #process: ChildProcess | undefined
  #said = ""

  constructor(
    readonly dataDir: string,
    readonly given: Settings,
  ) {
    this.#settings = { CORRIDOR_DEMO: "false", ...given, CORRIDOR_DATA_DIR: dataDir }
  }

  get settings(): Settings {
    return this.#settings
  }

  /** Starts it, at a free port, or at the one it had before. */
  async start() {
    const listen = this.url === "" ? "127.0.0.1:0" : new URL(this.url).host
    const server = spawn(binary, [], {
      env: environment({ ...this.#settings, CORRIDOR_LISTEN: listen }),
      stdio: ["ignore", "pipe", "pipe"],
    })
    this.#process = server
    server.stderr.on("data", (chunk: Buffer) => (this.#said += chunk.toString()))
    const address = new Promise<string>((resolve, reject) => {
      const giveUp = setTimeout(() => reject(new Error(`the server did not start: ${this.#said}`)), 60_000)
      createInterface(server.stdout).on("line", (line) => {
        const at = /Corridor answers at (\S+)/.exec(line)?.[1]
        if (!at) return
        clearTimeout(giveUp)
        resolve(at)
      })
      server.on("error", reject)
      server.on("exit", (code) => reject(new Error(`the server ended with ${String(code)}: ${this.#said}`)))
    })
    this.url = new URL(await address).origin
  }

  /** Ends it, in order or by SIGKILL, and waits until it is gone. */
  async stop(signal: NodeJS.Signals = "SIGTERM") {
    const server = this.#process
    this.#process = undefined
    if (!server || server.exitCode !== null || server.signalCode !== null) return
    server.removeAllListeners("exit")
    const gone = once(server, "exit")
    server.kill(signal)
    await gone
  }
}

/** A line of a roster: name, role and waiting rooms. */
export type Roster = Record<string, [name: string, role: string, ...rooms: string[]]>

/**
 * Ann and Bob meet at the front desk, Dee and Ann in the lab: so Dee is in Ann's contact list, but not in Bob's. Eve meets nobody. Pia is
 * a patient.
 */
export const people: Roster = {
  ann: ["Ann Lee", "Physician", "Front desk", "Lab"],
  bob: ["Bob Okafor", "MA", "Front desk"],
  cai: ["Cai Wu", "CSR", "Front desk", "Lab"],
  dee: ["Dee Novak", "Nurse practitioner", "Lab"],
  eve: ["Eve Stone", "CSR", "Attic"],
  zoe: ["Zoë Müller", "MA", "Front desk"],
  pia: ["Pia Patel", "Patient", "Front desk"],
}

export class Clinic {
  /** The pages that its people opened. */
  readonly chats: Chat[] = []
  readonly #people = new Map<string, Person>()

  constructor(
    readonly world: World,
    readonly name: string,
    readonly number: number,
  ) {}

  /** Makes the roster what is given: who is missing is deactivated. */
  async imports(roster: Roster, ...flags: string[]) {
    const lines = Object.entries(roster).map(
      ([key, [name, role, ...rooms]]) => `${this.email(key)},${name},${role},${rooms.join(";")}`,
    )
    const file = await this.world.writes(
      `roster-${String(this.number)}.csv`,
      ["email,name,role,waiting_rooms", ...lines, ""].join("\n"),
    )
    await this.world.runs("roster", "import", file, "--clinic", this.name, ...flags)
    for (const [key, [name]] of Object.entries(roster))
      if (!this.#people.has(key)) this.#people.set(key, new Person(this, key, name))
  }

  /** Decides something for the clinic, as `decides("--history-choice=true")`. */
  async decides(...flags: string[]) {
    await this.world.runs("clinic", "set", this.name, ...flags)
  }

  email(key: string): string {
    return `${key}@clinic${String(this.number)}.example`
  }

  /** Somebody of the clinic, by their key in the roster: `person("ann")`, or `person("Ann")`. */
  person(key: string): Person {
    const person = this.#people.get(key.toLowerCase())
    assert.ok(person, `nobody is called ${key}`)
    return person
  }

  get ann(): Person {
    return this.person("ann")
  }
  get bob(): Person {
    return this.person("bob")
  }
  get cai(): Person {
    return this.person("cai")
  }
  get dee(): Person {
    return this.person("dee")
  }
  get eve(): Person {
    return this.person("eve")
  }
  get zoe(): Person {
    return this.person("zoe")
  }
}

export interface OpensOptions extends BrowserContextOptions, Embedding {
  /** Where the server is reached, by default where it is: a proxy's address. */
  at?: string
}

type Variables = Record<string, unknown>

interface Answer<T> {
  data?: T | null
  errors?: { message: string }[]
}

/** Somebody of a clinic. What they do here they do through the API. */
export class Person {
  #token: Promise<string> | undefined
  #id: Promise<string> | undefined

  constructor(
    readonly clinic: Clinic,
    readonly key: string,
    /** As everybody sees it. */
    readonly name: string,
  ) {}

  get email(): string {
    return this.clinic.email(this.key)
  }

  token(): Promise<string> {
    this.#token ??= this.clinic.world.runs("token", "--email", this.email, "--clinic", this.clinic.name)
    return this.#token
  }

  id(): Promise<string> {
    this.#id ??= this.asks<{ viewer: { user: { id: string } } }>("{ viewer { user { id } } }").then(
      ({ viewer }) => viewer.user.id,
    )
    return this.#id
  }

  /** A page of their own with the chat in it, once it is live. */
  async opens(options: OpensOptions = {}): Promise<Chat> {
    const { at = this.clinic.world.url, html, attributes, css, ...context } = options
    const browser = await this.clinic.world.browser()
    const chat = await embed(browser, {
      name: this.name,
      url: at,
      token: () => this.token(),
      html,
      attributes,
      css,
      context: { locale: "en-US", timezoneId: "UTC", ...context },
    })
    this.clinic.chats.push(chat)
    await chat.page.goto(`${at}/host`)
    await chat.isLive()
    return chat
  }

  async asks<T>(query: string, variables: Variables = {}): Promise<T> {
    const response = await fetch(`${this.clinic.world.url}/graphql`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${await this.token()}` },
      body: JSON.stringify({ query, variables }),
    })
    const { data, errors } = (await response.json()) as Answer<T>
    if (errors || !data) throw new Error(`${String(response.status)}: ${JSON.stringify(errors)}`)
    return data
  }

  /** Lets them administer their clinic. */
  async administers(): Promise<void> {
    await this.clinic.world.runs("clinic", "administrator", this.email, "--clinic", this.clinic.name)
  }

  /** Makes a service account in the rooms of this administrator, adds it to a group, and has it say something. */
  async letsAProgramSay(group: string, name: string, text: string): Promise<void> {
    const email = `${this.key}.program@partner.example`
    const { serviceAccount } = await this.does<{ serviceAccount: { id: string } }>(
      "createServiceAccount",
      { name, email },
      "serviceAccount { id }",
    )
    const { viewer } = await this.asks<{ viewer: { waitingRooms: { nodes: { id: string }[] } } }>(
      "{ viewer { waitingRooms { nodes { id } } } }",
    )
    const waitingRoomIds = viewer.waitingRooms.nodes.map((room) => room.id)
    await this.does(
      "setServiceAccountWaitingRooms",
      { serviceAccountId: serviceAccount.id, waitingRoomIds },
      "serviceAccount { id }",
    )
    const key = await this.does<{ secret: string }>(
      "createPartnerKey",
      { serviceAccountId: serviceAccount.id, name, scopes: ["CONVERSATIONS_WRITE"] },
      "secret",
    )
    await this.does("addParticipants", { conversationId: group, userIds: [serviceAccount.id] }, "group { id }")
    const program = new Person(this.clinic, `${this.key}.program`, name)
    program.#token = Promise.resolve(key.secret)
    await program.sends(group, text)
  }

  /** How many messages of a conversation they have not read, as the server has it. */
  async unreadIn(conversationId: string): Promise<number> {
    const { node } = await this.asks<{ node: { unreadCount: number } }>(
      "query ($id: ID!) { node(id: $id) { ... on Conversation { unreadCount } } }",
      { id: conversationId },
    )
    return node.unreadCount
  }

  /** Does a mutation and returns what it did. A failure of any kind is thrown. */
  async does<T>(mutation: string, input: Variables, selection: string): Promise<T> {
    const type = `${mutation.charAt(0).toUpperCase()}${mutation.slice(1)}Input`
    const query = `mutation ($input: ${type}!) { did: ${mutation}(input: $input) { ${selection} userErrors { code message } } }`
    const { did } = await this.asks<{ did: T & { userErrors: { message: string }[] } }>(query, {
      input: { clientKey: crypto.randomUUID(), ...input },
    })
    if (did.userErrors.length > 0) throw new Error(`${mutation}: ${JSON.stringify(did.userErrors)}`)
    return did
  }

  /** The id of the one conversation with somebody. */
  async startsChatWith(other: Person): Promise<string> {
    const { conversation } = await this.does<{ conversation: { id: string } }>(
      "startDirectConversation",
      { userId: await other.id() },
      "conversation { id }",
    )
    return conversation.id
  }

  async createsGroup(name: string, ...others: Person[]): Promise<string> {
    const userIds = await Promise.all(others.map((other) => other.id()))
    const { group } = await this.does<{ group: { id: string } }>("createGroup", { name, userIds }, "group { id }")
    return group.id
  }

  async sends(conversationId: string, body: string): Promise<string> {
    const { message } = await this.does<{ message: { id: string } }>(
      "sendMessage",
      { conversationId, body },
      "message { id }",
    )
    return message.id
  }

  async adds(conversationId: string, ...others: Person[]) {
    const userIds = await Promise.all(others.map((other) => other.id()))
    await this.does("addParticipants", { conversationId, userIds }, "outcomes { outcome }")
  }

  async removes(conversationId: string, other: Person) {
    await this.does("removeParticipant", { conversationId, userId: await other.id() }, "group { id }")
  }

  async leaves(conversationId: string) {
    await this.does("leaveGroup", { conversationId }, "group { id }")
  }

  async deletes(conversationId: string) {
    await this.does("deleteGroup", { conversationId }, "deletedConversationId")
  }

  async renames(conversationId: string, name: string) {
    await this.does("renameGroup", { conversationId, name }, "group { id }")
  }

  async mutes(conversationId: string) {
    await this.does("muteConversation", { conversationId }, "conversation { id }")
  }

  async archives(conversationId: string) {
    await this.does("archiveConversation", { conversationId }, "conversation { id }")
  }

  /** Reads a conversation to its end. */
  async reads(conversationId: string) {
    const { node } = await this.asks<{ node: { lastMessage: { id: string } } }>(
      "query ($id: ID!) { node(id: $id) { ... on Conversation { lastMessage { id } } } }",
      { id: conversationId },
    )
    await this.does("markRead", { messageId: node.lastMessage.id }, "conversation { id }")
  }

  /** All texts of a conversation that they may see, of people only, the oldest first. */
  async transcript(conversationId: string): Promise<string[]> {
    interface Page {
      node: {
        messages: { nodes: { kind: string; text: string }[]; pageInfo: { endCursor: string; hasNextPage: boolean } }
      }
    }
    const texts: string[] = []
    for (let after: string | undefined; ;) {
      const { node }: Page = await this.asks<Page>(
        `query ($id: ID!, $after: Cursor) { node(id: $id) { ... on Conversation {
          messages(first: 100, after: $after) { nodes { kind text } pageInfo { endCursor hasNextPage } } } } }`,
        { id: conversationId, after },
      )
      texts.push(...node.messages.nodes.filter(({ kind }) => kind === "TEXT").map(({ text }) => text))
      if (!node.messages.pageInfo.hasNextPage) return texts
      after = node.messages.pageInfo.endCursor
    }
  }

  /** The names of the conversations in their list. */
  async listed(filter: Variables = {}): Promise<string[]> {
    interface Row {
      name?: string
      peer?: { name: string }
    }
    const { viewer } = await this.asks<{ viewer: { conversations: { nodes: Row[] } } }>(
      `query ($filter: ConversationFilter!) { viewer { conversations(first: 100, filter: $filter) { nodes {
        ... on GroupConversation { name } ... on DirectConversation { peer { name } } } } } }`,
      { filter },
    )
    return viewer.conversations.nodes.map(({ name, peer }) => name ?? peer?.name ?? "")
  }
}
