import { Badge, UnstyledButton } from "@mantine/core"
import { memo } from "react"
import { type FragmentType, graphql, readFragment } from "../../graphql/generated"
import type { ConversationRowFragment } from "../../graphql/generated/graphql"
import { MutedIcon } from "../../ui/icons"
import { Portrait } from "../../ui/Person"
import { inFull, shortly } from "../../ui/time"

const ConversationRowFields = graphql(`
  fragment ConversationRow on Conversation {
    id
    lastActivityAt
    unreadCount
    viewerMembership {
      state
    }
    viewerSettings {
      isMuted
      archivedAt
    }
    lastMessage {
      id
      seq
      kind
      text
      sentAt
      recalledAt
      sender {
        id
        name
        isViewer
      }
      files {
        id
        name
      }
    }
    ... on DirectConversation {
      peer {
        id
        name
        roleLabel
        isAvailable
      }
    }
    ... on GroupConversation {
      name
      participantCount
    }
  }
`)

/** What a conversation is called: the group's name, or that of the other person. */
export function nameOf(
  conversation:
    { __typename: "DirectConversation"; peer: { name: string } } | { __typename: "GroupConversation"; name: string },
) {
  return conversation.__typename === "GroupConversation" ? conversation.name : conversation.peer.name
}

export interface ConversationRowProps {
  conversation: FragmentType<typeof ConversationRowFields>
  isOpen?: boolean
  onOpen: (id: string) => void
}

/** A conversation in a list: its name, the muted bell under it, the last line, when, and what is unread (S11, S43). */
export const ConversationRow = memo(function ConversationRow({
  conversation: masked,
  isOpen,
  onOpen,
}: ConversationRowProps) {
  const conversation = readFragment(ConversationRowFields, masked)
  const { lastMessage, unreadCount, viewerMembership, viewerSettings } = conversation
  const name = nameOf(conversation)
  const isGroup = conversation.__typename === "GroupConversation"
  const isLeft = viewerMembership.state !== "ACTIVE"
  return (
    <li>
      <UnstyledButton
        className={`row ${isLeft ? "left" : ""}`}
        aria-current={isOpen || undefined}
        onClick={() => onOpen(conversation.id)}
      >
        <Portrait name={name} isGroup={isGroup} isAvailable={!isGroup && conversation.peer.isAvailable} />
        <span className="row-text">
          <span className="row-line">
            <bdi className="name">{name}</bdi>{" "}
            {lastMessage && (
              <time dateTime={lastMessage.sentAt} title={inFull(lastMessage.sentAt)}>
                {shortly(lastMessage.sentAt)}
              </time>
            )}
          </span>
          {viewerSettings.isMuted && (
            <span className="muted-bell" role="img" aria-label="Muted">
              <MutedIcon size={14} />
            </span>
          )}
          <span className="row-line">
            <span className="preview" dir="auto">
              {lastMessage ? preview(lastMessage, isGroup) : "No messages yet"}
            </span>{" "}
            {unreadCount > 0 && (
              <Badge
                circle={unreadCount < 10}
                size="md"
                color={viewerSettings.isMuted ? "gray.7" : undefined}
                aria-label={`${unreadCount} unread`}
                role="img"
              >
                {unreadCount > 99 ? "99+" : unreadCount}
              </Badge>
            )}
          </span>
        </span>
      </UnstyledButton>
    </li>
  )
})

/** The last line, as short as a list has room for. */
function preview(message: NonNullable<ConversationRowFragment["lastMessage"]>, isGroup: boolean) {
  if (message.recalledAt) return "Message recalled"
  if (message.kind !== "TEXT") return message.text
  const said = message.text || message.files.map((file) => file.name).join(", ")
  if (message.sender?.isViewer) return `You: ${said}`
  return isGroup && message.sender ? `${message.sender.name}: ${said}` : said
}
