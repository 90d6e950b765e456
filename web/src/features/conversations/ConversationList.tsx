import { Alert, Button, Loader, Skeleton } from "@mantine/core"
import { useQuery } from "@apollo/client/react"
import { graphql } from "../../graphql/generated"
import type { ConversationFilter } from "../../graphql/generated/graphql"
import { ConversationRow } from "./ConversationRow"

const Conversations = graphql(`
  query Conversations($first: Int!, $after: Cursor, $filter: ConversationFilter!) {
    viewer {
      conversations(first: $first, after: $after, filter: $filter) {
        edges {
          node {
            id
            ...LiveConversation
            ...ConversationRow
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
`)

export interface ConversationListProps {
  label: string
  filter?: ConversationFilter
  /** Only so many, without more to ask for. */
  most?: number
  openId?: string | undefined
  onOpen: (id: string) => void
  /** Shown when there is none. */
  empty: React.ReactNode
}

/** Conversations, the most recently active first (S11, S13). New messages move them while the list is open. */
export function ConversationList({ label, filter = {}, most, openId, onOpen, empty }: ConversationListProps) {
  const { data, loading, error, fetchMore, refetch } = useQuery(Conversations, {
    variables: { first: 20, filter },
    fetchPolicy: "cache-first", // the stream keeps it right
    notifyOnNetworkStatusChange: true,
  })
  const connection = data?.viewer.conversations
  if (!connection) {
    if (error) {
      return (
        <Alert color="red" title="The chats can't be loaded." role="alert">
          <Button size="xs" onClick={() => void refetch()}>
            Try again
          </Button>
        </Alert>
      )
    }
    return (
      <div aria-busy="true" className="loading">
        <Skeleton height={48} mb="xs" />
        <Skeleton height={48} mb="xs" />
        <Skeleton height={48} />
      </div>
    )
  }
  const shown = most ? connection.edges.slice(0, most) : connection.edges
  if (shown.length === 0 && !connection.pageInfo.hasNextPage) return <div className="empty">{empty}</div>
  const more = () => void fetchMore({ variables: { after: connection.pageInfo.endCursor } })
  return (
    <>
      <ul className="rows" aria-label={label}>
        {shown.map(({ node }) => (
          <ConversationRow key={node.id} conversation={node} isOpen={node.id === openId} onOpen={onOpen} />
        ))}
      </ul>
      {!most && connection.pageInfo.hasNextPage && (
        <Button variant="subtle" fullWidth onClick={more} leftSection={loading ? <Loader size="xs" /> : undefined}>
          Show more chats
        </Button>
      )}
    </>
  )
}
