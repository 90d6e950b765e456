import { useApolloClient, useFragment } from "@apollo/client/react"
import { useCallback, useEffect, useMemo, useRef, useState } from "react"
import { type FragmentType, graphql, readFragment } from "../../graphql/generated"
import type { HistoryQueryVariables, MessageLineFragment } from "../../graphql/generated/graphql"
import { MessageLineFields } from "./MessageLine"

const Transcript = graphql(`
  fragment Transcript on Conversation {
    id
    messages {
      edges {
        node {
          id
          seq
          ...MessageLine
        }
      }
      pageInfo {
        hasPreviousPage
        hasNextPage
        startCursor
        endCursor
      }
    }
  }
`)

const History = graphql(`
  query History($id: ID!, $first: Int, $after: Cursor, $last: Int, $before: Cursor) {
    node(id: $id) {
      ... on Conversation {
        id
        messages(first: $first, after: $after, last: $last, before: $before) {
          edges {
            node {
              id
              seq
              ...MessageLine
            }
          }
          pageInfo {
            hasPreviousPage
            hasNextPage
            startCursor
            endCursor
          }
        }
      }
    }
  }
`)

const ReadPosition = graphql(`
  query ReadPosition($id: ID!) {
    node(id: $id) {
      ... on Conversation {
        id
        unreadCount
        viewerReadCursor
      }
    }
  }
`)

/** How long a line may be known without being there, in milliseconds. */
const patience = 1_000

/** How many messages a page has. */
const page = 40

export interface TranscriptLine {
  id: string
  seq: number
  masked: FragmentType<typeof MessageLineFields>
  message: MessageLineFragment
}

/** Which conversation, as the cache knows it. */
export interface ConversationRef {
  __typename: "DirectConversation" | "GroupConversation"
  id: string
}

/** What is known of a transcript before it is read. */
export interface TranscriptNow {
  /** The number of its last line. */
  lastSeq: number | undefined
  unreadCount: number
}

/**
 * The transcript of a conversation, from where the person has read to: pages are added at both ends as they are
 * asked for, and new messages by themselves.
 */
export function useTranscript({ __typename, id }: ConversationRef, { lastSeq, unreadCount }: TranscriptNow) {
  const client = useApolloClient()
  const { data, complete } = useFragment({ fragment: Transcript, fragmentName: "Transcript", from: { __typename, id } })
  const transcript = complete ? readFragment(Transcript, data as FragmentType<typeof Transcript>) : undefined
  const [error, setError] = useState(false)
  const [firstUnread, setFirstUnread] = useState<number>()
  const loading = useRef<Promise<void>>(undefined)
  // What is known of it from before ends where it was left; with unread messages it is read from the first of them on.
  const [isOpening, setIsOpening] = useState(!complete || unreadCount > 0)

  const fetchPage = useCallback(
    async (place: Omit<HistoryQueryVariables, "id">) => {
      const variables = { id, ...place }
      const { data } = await client.query({ query: History, variables, fetchPolicy: "no-cache" })
      return { variables, data }
    },
    [client, id],
  )

  // Pages are written by hand: a query of Apollo Client's would read the whole transcript back for each.
  const keep = useCallback(
    (pages: Awaited<ReturnType<typeof fetchPage>>[], afresh: boolean) =>
      client.cache.batch({
        update: (cache) => {
          if (afresh) cache.evict({ id: cache.identify({ __typename, id }), fieldName: "messages", broadcast: false })
          for (const { variables, data } of pages) if (data) cache.writeQuery({ query: History, variables, data })
        },
      }),
    [client, __typename, id],
  )

  const read = useCallback(
    async (place: Omit<HistoryQueryVariables, "id">, afresh = false) => keep([await fetchPage(place)], afresh),
    [fetchPage, keep],
  )

  /** One at a time: what can be asked for again gives way to what is under way, and the rest waits for it. */
  const load = useCallback(async (act: () => Promise<unknown>, waits = false) => {
    if (loading.current && !waits) return
    const before = loading.current
    const turn = (async () => {
      await before
      try {
        await act()
        setError(false)
      } catch {
        setError(true)
      }
    })()
    loading.current = turn
    await turn
    if (loading.current === turn) loading.current = undefined
  }, [])

  const open = useCallback(
    () =>
      load(async () => {
        const { data } = await client.query({ query: ReadPosition, variables: { id }, fetchPolicy: "network-only" })
        const conversation = data?.node && "unreadCount" in data.node ? data.node : undefined
        if (!conversation) return
        if (conversation.unreadCount === 0) {
          setFirstUnread(undefined)
          await read({ last: page }, true)
          return
        }
        const unread = await fetchPage({ first: page, after: conversation.viewerReadCursor })
        const messages = unread.data?.node && "messages" in unread.data.node ? unread.data.node.messages : undefined
        const lines = messages?.edges.map((edge) => readFragment(MessageLineFields, edge.node)) ?? []
        const seen = await fetchPage({ last: page, before: messages?.pageInfo.startCursor })
        setFirstUnread(lines.find((line) => line.kind === "TEXT" && !line.sender?.isViewer && !line.recalledAt)?.seq)
        keep([seen, unread], true)
      }, true).then(() => setIsOpening(false)),
    [client, id, load, read, fetchPage, keep],
  )

  const isMissing = isOpening || !complete
  useEffect(() => {
    if (isMissing) void open()
  }, [isMissing, open])

  const { hasPreviousPage = false, hasNextPage = false, startCursor, endCursor } = transcript?.messages.pageInfo ?? {}
  const loadPrevious = useCallback(() => {
    if (hasPreviousPage) void load(() => read({ last: page, before: startCursor }))
  }, [hasPreviousPage, startCursor, load, read])
  const loadNext = useCallback(() => {
    if (hasNextPage) void load(() => read({ first: page, after: endCursor }))
  }, [hasNextPage, endCursor, load, read])

  /** Leaves what is between here and the end out, and goes on from the end. */
  const jumpToEnd = useCallback(() => load(() => read({ last: page }, true), true), [load, read])

  const edges = transcript?.messages.edges
  const lines = useMemo<TranscriptLine[] | undefined>(
    () =>
      (isOpening ? undefined : edges)?.map(({ node }) => ({
        id: node.id,
        seq: node.seq,
        masked: node,
        message: readFragment(MessageLineFields, node),
      })),
    [isOpening, edges],
  )

  // A line may have come while the page before it was on its way: then it is known to be there, and missing. In a burst
  // the last one is always known a little before those that lead to it.
  const end = lines?.at(-1)?.seq
  const lastCursor = lines?.at(-1)?.message.cursor
  const isShort = !hasNextPage && end !== undefined && lastSeq !== undefined && lastSeq > end
  useEffect(() => {
    if (!isShort) return
    const timer = setTimeout(() => void load(() => read({ first: page, after: lastCursor })), patience)
    return () => clearTimeout(timer)
  }, [isShort, lastCursor, load, read])

  return {
    lines,
    error,
    firstUnread,
    hasPrevious: hasPreviousPage,
    hasNext: hasNextPage,
    loadPrevious,
    loadNext,
    jumpToEnd,
    retry: open,
  }
}
