import type { ReactNode } from "react"
import { type FragmentType, graphql, readFragment } from "../../graphql/generated"
import { MutedIcon } from "../../ui/icons"
import { Portrait } from "../../ui/Person"
import { nameOf } from "./ConversationRow"

export const ConversationHeaderFields = graphql(`
  fragment ConversationHeader on Conversation {
    id
    viewerMembership {
      state
      notice
    }
    viewerSettings {
      isMuted
      mutedUntil
      archivedAt
    }
    ... on DirectConversation {
      peer {
        id
        name
        roleLabel
        isActive
        isAvailable
      }
    }
    ... on GroupConversation {
      name
      participantCount
    }
  }
`)

export interface ConversationHeaderProps {
  conversation: FragmentType<typeof ConversationHeaderFields>
  /** The buttons of the chat box. */
  children: ReactNode
  before?: ReactNode
}

/** Who one chats with, and under the name what there is to know: role, availability (E45), the muted bell (S43). */
export function ConversationHeader({ conversation: masked, children, before }: ConversationHeaderProps) {
  const conversation = readFragment(ConversationHeaderFields, masked)
  const name = nameOf(conversation)
  const isGroup = conversation.__typename === "GroupConversation"
  return (
    <header className="chat-header">
      {before}
      <Portrait name={name} isGroup={isGroup} isAvailable={!isGroup && conversation.peer.isAvailable} />
      <div className="chat-title">
        <h2 title={name}>
          <bdi>{name}</bdi>
        </h2>
        <p>
          {conversation.viewerSettings.isMuted && (
            <span className="muted-bell" role="img" aria-label="Muted">
              <MutedIcon size={14} />
            </span>
          )}
          {isGroup ? (
            <span>
              {conversation.participantCount === 1 ? "1 participant" : `${conversation.participantCount} participants`}
            </span>
          ) : (
            <span>{[conversation.peer.roleLabel, availability(conversation.peer)].filter(Boolean).join(" · ")}</span>
          )}
        </p>
      </div>
      <div className="chat-buttons">{children}</div>
    </header>
  )
}

function availability({ isActive, isAvailable }: { isActive: boolean; isAvailable: boolean }) {
  if (!isActive) return "No longer at the clinic"
  return isAvailable ? "Available" : "Away"
}
