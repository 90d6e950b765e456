import { gql, type InMemoryCache } from "@apollo/client"
import { describe, expect, test } from "vitest"
import { ChatCache, moment } from "./cache"
import { append, apply, type Event, forget } from "./events"

const List = gql`
  query List($after: Cursor, $filter: ConversationFilter) {
    viewer {
      conversations(first: 2, after: $after, filter: $filter) {
        edges {
          node {
            id
            lastActivityAt
            unreadCount
            viewerSettings {
              archivedAt
            }
            lastMessage {
              id
            }
          }
        }
        pageInfo {
          hasNextPage
          hasPreviousPage
          startCursor
          endCursor
        }
      }
    }
  }
`

const History = gql`
  query History($id: ID!, $first: Int, $after: Cursor, $last: Int, $before: Cursor) {
    node(id: $id) {
      ... on GroupConversation {
        id
        messages(first: $first, after: $after, last: $last, before: $before) {
          edges {
            node {
              id
              seq
            }
          }
          pageInfo {
            hasNextPage
            hasPreviousPage
            startCursor
            endCursor
          }
        }
      }
    }
  }
`

const Whole = gql`
  fragment Whole on GroupConversation {
    id
    messages {
      edges {
        node {
          id
          seq
        }
      }
      pageInfo {
        hasNextPage
        hasPreviousPage
        startCursor
        endCursor
      }
    }
  }
`

const group = (id: string, lastActivityAt: string, archivedAt: string | null = null) => ({
  __typename: "GroupConversation",
  id,
  lastActivityAt,
  unreadCount: 0,
  viewerSettings: { __typename: "ViewerSettings", archivedAt },
  lastMessage: { __typename: "Message", id: `last of ${id}` },
})

const pageInfo = (
  more: Partial<Record<"hasNextPage" | "hasPreviousPage", boolean>>,
  ends: [string, string] | [] = [],
) => ({
  __typename: "PageInfo",
  hasNextPage: false,
  hasPreviousPage: false,
  ...more,
  startCursor: ends[0] ?? null,
  endCursor: ends[1] ?? null,
})

/** Puts a page of conversations into the cache. */
function lists(cache: InMemoryCache, nodes: ReturnType<typeof group>[], variables: object = {}, hasNextPage = false) {
  const edges = nodes.map((node) => ({ __typename: "ConversationEdge", node }))
  const conversations = { __typename: "ConversationConnection", edges, pageInfo: pageInfo({ hasNextPage }) }
  cache.writeQuery({
    query: List,
    variables: { filter: {}, ...variables },
    data: { viewer: { __typename: "Viewer", conversations } },
  })
}

function listed(cache: InMemoryCache, filter: object = {}): string[] {
  const data = cache.readQuery<{ viewer: { conversations: { edges: { node: { id: string } }[] } } }>({
    query: List,
    variables: { filter },
  })
  return data?.viewer.conversations.edges.map(({ node }) => node.id) ?? []
}

/** Puts a page of the transcript of group g into the cache. */
function pages(cache: InMemoryCache, seqs: number[], place: object, info: Parameters<typeof pageInfo>[0]) {
  const edges = seqs.map((seq) => ({
    __typename: "MessageEdge",
    node: { __typename: "Message", id: `m${String(seq)}`, seq },
  }))
  const ends: [string, string] = [`c${String(seqs[0])}`, `c${String(seqs.at(-1))}`]
  const messages = { __typename: "MessageConnection", edges, pageInfo: pageInfo(info, ends) }
  cache.writeQuery({
    query: History,
    variables: { id: "g", ...place },
    data: { node: { __typename: "GroupConversation", id: "g", messages } },
  })
}

interface WholeTranscript {
  messages: {
    edges: { node: { seq: number } }[]
    pageInfo: { hasNextPage: boolean; hasPreviousPage: boolean; startCursor: string; endCursor: string }
  }
}

function transcript(cache: InMemoryCache) {
  const data = cache.readFragment<WholeTranscript>({ id: "GroupConversation:g", fragment: Whole })
  return { seqs: data?.messages.edges.map(({ node }) => node.seq), info: data?.messages.pageInfo }
}

describe("the list of conversations", () => {
  test("S11 shows the most recently active first, as the conversations are by now", () => {
    const known = new ChatCache()
    lists(known, [group("a", "2026-11-25T10:00:00.5Z"), group("b", "2026-11-25T10:00:00Z")])

    known.writeFragment({
      id: "GroupConversation:b",
      fragment: gql`
        fragment Moved on GroupConversation {
          lastActivityAt
        }
      `,
      data: { lastActivityAt: "2026-11-25T10:00:00.51Z" },
    })

    expect(listed(known)).toEqual(["b", "a"])
  })

  test("S13 goes on behind its last page, and shows nothing twice that moved meanwhile", () => {
    const known = new ChatCache()
    lists(known, [group("a", "2026-11-25T10:00:03Z"), group("b", "2026-11-25T10:00:02Z")], {}, true)
    lists(known, [group("b", "2026-11-25T10:00:02Z"), group("c", "2026-11-25T10:00:01Z")], { after: "b" })

    expect(listed(known)).toEqual(["a", "b", "c"])
  })

  test("S46 S48 what is archived leaves it and comes back without anybody who moves it", () => {
    const known = new ChatCache()
    lists(known, [group("a", "2026-11-25T10:00:03Z"), group("b", "2026-11-25T10:00:02Z")])
    lists(known, [], { filter: { archived: true } })

    apply(known, changed(group("a", "2026-11-25T10:00:03Z", "2026-11-25T11:00:00Z")))
    expect(listed(known)).toEqual(["b"])
    expect(listed(known, { archived: true })).toEqual(["a"])

    apply(known, changed(group("a", "2026-11-25T10:00:03Z")))
    expect(listed(known)).toEqual(["a", "b"])
    expect(listed(known, { archived: true })).toEqual([])
  })

  test("S59 what is deleted is gone from it", () => {
    const known = new ChatCache()
    lists(known, [group("a", "2026-11-25T10:00:03Z"), group("b", "2026-11-25T10:00:02Z")])

    forget(known, "a")

    expect(listed(known)).toEqual(["b"])
  })
})

/** An event that brings a conversation. */
function changed({ viewerSettings, ...known }: ReturnType<typeof group>): Event {
  const allowed = [
    "Send",
    "AddParticipants",
    "RemoveParticipants",
    "Rename",
    "TransferOwnership",
    "Mute",
    "Archive",
    "Leave",
    "Delete",
  ]
  const lastMessage = {
    ...{
      ...known.lastMessage,
      seq: 1,
      cursor: "c",
      kind: "TEXT",
      text: "hello",
      sentAt: known.lastActivityAt,
      editedAt: null,
    },
    ...{ recalledAt: null, clientKey: null, sender: null, files: [] },
  }
  const conversation = {
    ...known,
    ...{ name: "Desk", participantCount: 2, owner: null, viewerCannot: null, lastMessage },
    ...Object.fromEntries(allowed.map((act) => [`viewerCan${act}`, true])),
    viewerMembership: {
      __typename: "ViewerMembership",
      state: "ACTIVE",
      notice: null,
      joinedAt: known.lastActivityAt,
      leftAt: null,
    },
    viewerSettings: { ...viewerSettings, isMuted: false, mutedUntil: null },
  }
  return { __typename: "ConversationChanged", cursor: "c", conversation } as unknown as Event
}

describe("the transcript", () => {
  test("S12 grows at both ends, in the order of its numbers", () => {
    const known = new ChatCache()
    pages(known, [50, 51], { first: 2, after: "c49" }, { hasNextPage: true, hasPreviousPage: true })
    pages(known, [48, 49], { last: 2, before: "c50" }, { hasNextPage: true, hasPreviousPage: true })
    pages(known, [52, 53], { first: 2, after: "c51" }, { hasNextPage: false, hasPreviousPage: true })

    expect(transcript(known).seqs).toEqual([48, 49, 50, 51, 52, 53])
    expect(transcript(known).info).toMatchObject({
      hasPreviousPage: true,
      hasNextPage: false,
      startCursor: "c48",
      endCursor: "c53",
    })
  })

  test("takes a new line at its end, once, and in its place if a later one was faster", () => {
    const known = new ChatCache()
    pages(known, [1, 2], { last: 2 }, {})
    for (const seq of [4, 3, 4]) {
      const id = `m${String(seq)}`
      known.writeFragment({ id: `Message:${id}`, fragment: Line, data: { __typename: "Message", id, seq } })
      append(known, { __typename: "GroupConversation", id: "g" }, { id, seq })
    }

    expect(transcript(known).seqs).toEqual([1, 2, 3, 4])
  })

  test("takes no new line while there are lines between that were not read", () => {
    const known = new ChatCache()
    pages(known, [1, 2], { first: 2 }, { hasNextPage: true })

    append(known, { __typename: "GroupConversation", id: "g" }, { id: "m9", seq: 9 })

    expect(transcript(known).seqs).toEqual([1, 2])
  })
})

const Line = gql`
  fragment Line on Message {
    id
    seq
  }
`

test("moments compare as letters, whatever their fractions have been shortened to", () => {
  const inOrder = [
    "2026-11-25T10:00:00Z",
    "2026-11-25T10:00:00.000001Z",
    "2026-11-25T10:00:00.1Z",
    "2026-11-25T10:00:00.12Z",
  ]

  expect(inOrder.map(moment).toSorted()).toEqual(inOrder.map(moment))
})
