import { type FieldPolicy, InMemoryCache, type Reference, type TypePolicies } from "@apollo/client"
import { relayStylePagination } from "@apollo/client/utilities"
import type { ConversationFilter } from "./generated/graphql"
import possibleTypes from "./generated/possibleTypes"

/** An item of a list as the cache holds it. Cursors of items are not asked for: pages go on from `pageInfo`. */
export interface Edge {
  __typename?: string
  node: Reference
}

interface PageInfo {
  hasNextPage: boolean
  hasPreviousPage: boolean
  startCursor: string | null
  endCursor: string | null
}

/** A list as the cache holds it. */
export interface Connection {
  __typename?: string
  edges: Edge[]
  pageInfo: PageInfo
  eventCursor?: string
}

/** The cache of one person: what came from lists and what came from the stream are the same objects in it. */
export class ChatCache extends InMemoryCache {
  /** The ids of groups that were deleted: an answer that was on its way does not bring them back. */
  readonly gone: Set<string>

  constructor() {
    const gone = new Set<string>()
    super({ possibleTypes: possibleTypes.possibleTypes, typePolicies: policies(gone) })
    this.gone = gone
  }
}

function policies(gone: ReadonlySet<string>): TypePolicies {
  const conversation = {
    fields: {
      messages: transcript,
      viewerSettings: { merge: true },
      viewerMembership: { merge: true },
      lastMessage: latest,
      lastActivityAt: later,
    },
  }
  return {
    Query: { fields: { node: known(gone) } },
    Viewer: { keyFields: [], fields: { conversations: conversationList(gone) } },
    Clinic: { keyFields: [] },
    Contact: { keyFields: false },
    DirectConversation: conversation,
    GroupConversation: { fields: { ...conversation.fields, participants: relayStylePagination() } },
  }
}

/** What was seen in a list or came with an event opens without waiting. */
const known = (gone: ReadonlySet<string>): FieldPolicy<Reference | null> => ({
  read(existing, { args, toReference, canRead }) {
    const id = String(args?.id)
    if (gone.has(id)) return null
    if (existing !== undefined) return existing
    return ["DirectConversation", "GroupConversation"]
      .map((__typename) => toReference({ __typename, id }))
      .find((reference) => canRead(reference))
  },
})

/**
 * The lists of conversations, one for each filter. What is in one and where is worked out as it is read, from the
 * conversations as they are by then: one that is archived leaves the list, and a new message moves its
 * conversation to the top, without anybody who moves it.
 */
const conversationList = (gone: ReadonlySet<string>): FieldPolicy<Connection> => ({
  keyArgs: ["filter"],
  merge(existing, incoming, { args }) {
    if (!existing) return incoming
    const known = new Set(existing.edges.map((edge) => edge.node.__ref))
    return {
      ...existing,
      edges: [...existing.edges, ...incoming.edges.filter((edge) => !known.has(edge.node.__ref))],
      // The first page again says nothing of where the pages that were read further down end.
      pageInfo: args?.after ? incoming.pageInfo : existing.pageInfo,
    }
  },
  read(existing, { args, readField, canRead }) {
    if (!existing) return undefined
    const filter = { archived: false, ...(args?.filter as ConversationFilter | undefined) }
    const when = (edge: Edge) => moment(readField<string>("lastActivityAt", edge.node) ?? "")
    const belongs = ({ node }: Edge) => {
      if (!canRead(node) || gone.has(String(readField("id", node)))) return false
      const settings = readField<{ archivedAt: string | null }>("viewerSettings", node)
      const isGroup = readField<string>("__typename", node) === "GroupConversation"
      return (
        (filter.archived == null || filter.archived === Boolean(settings?.archivedAt)) &&
        (filter.unread == null || filter.unread === Number(readField<number>("unreadCount", node)) > 0) &&
        (filter.kind == null || (filter.kind === "GROUP") === isGroup) &&
        (isGroup || readField("lastMessage", node) != null) // a direct one is listed from its first message on
      )
    }
    return {
      ...existing,
      edges: existing.edges
        .filter(belongs)
        .map((edge) => ({ edge, at: when(edge) }))
        .sort((one, other) => (one.at < other.at ? 1 : one.at > other.at ? -1 : 0))
        .map(({ edge }) => edge),
    }
  },
})

/** A server's time in a form whose order is that of the letters: its fractions of a second have up to six digits. */
export function moment(time: string): string {
  return time.replace(/(?:\.(\d+))?Z$/, (_, fraction: string | undefined) => `.${(fraction ?? "").padEnd(6, "0")}`)
}

/** Of two last lines the one that stands behind: an answer that was on its way may know less than the stream has brought. */
const latest: FieldPolicy<Reference | null> = {
  merge(existing, incoming, { readField }) {
    const seq = (line: Reference) => readField<number>("seq", line) ?? 0
    return existing && incoming && seq(incoming) < seq(existing) ? existing : incoming
  },
}

const later: FieldPolicy<string> = {
  merge: (existing, incoming) => (existing && moment(incoming) < moment(existing) ? existing : incoming),
}

/**
 * A transcript: one unbroken stretch of it, which pages make longer at both ends and new messages at its end. Its
 * `pageInfo` says whether there is more before and behind.
 */
const transcript: FieldPolicy<Connection> = {
  keyArgs: false,
  merge(existing, incoming, { args, readField }) {
    if (!existing) return incoming
    const known = new Set(existing.edges.map((edge) => edge.node.__ref))
    const seq = ({ node }: Edge) => readField<number>("seq", node) ?? 0
    const fresh = incoming.edges.filter((edge) => !known.has(edge.node.__ref))
    const backwards = args?.first == null
    const [start, end] = backwards ? [incoming.pageInfo, existing.pageInfo] : [existing.pageInfo, incoming.pageInfo]
    return {
      ...incoming,
      edges: [...existing.edges, ...fresh].sort((one, other) => seq(one) - seq(other)),
      pageInfo: {
        ...incoming.pageInfo,
        hasPreviousPage: start.hasPreviousPage,
        startCursor: start.startCursor ?? existing.pageInfo.startCursor,
        hasNextPage: end.hasNextPage,
        endCursor: end.endCursor ?? existing.pageInfo.endCursor,
      },
    }
  },
}
