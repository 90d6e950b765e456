import { Button } from "@mantine/core"
import { useState } from "react"
import { graphql, readFragment } from "../../graphql/generated"
import type { ChatTargetGroupFragment } from "../../graphql/generated/graphql"
import { useSearch } from "../../graphql/useSearch"
import { ContactChoice, contactChoice, needsEmails } from "../../ui/contactChoice"
import { PeopleIcon } from "../../ui/icons"
import { type Choice, PeoplePicker } from "../../ui/PeoplePicker"
import { Portrait } from "../../ui/Person"
import { useRestoreGroup } from "./useRestoreGroup"
import { useStartDirectConversation } from "./useStartDirectConversation"

// People come first in what is found; before anything is typed some groups are shown beside them all the same.
const ChatTargets = graphql(`
  query ChatTargets($query: String!, $first: Int!, $isBlank: Boolean!) {
    viewer {
      chatTargets(query: $query, first: $first) {
        nodes {
          __typename
          ... on Contact {
            ...ContactChoice
            directConversation {
              id
              viewerSettings {
                archivedAt
              }
            }
          }
          ... on GroupConversation {
            id
            ...ChatTargetGroup
          }
          ... on DirectConversation {
            id
            peer {
              id
              name
              roleLabel
              isAvailable
            }
            viewerSettings {
              archivedAt
            }
          }
        }
        pageInfo {
          hasNextPage
        }
      }
      conversations(first: 10, filter: { kind: GROUP, archived: null }) @include(if: $isBlank) {
        nodes {
          __typename
          ... on GroupConversation {
            id
            ...ChatTargetGroup
          }
        }
      }
    }
  }
`)

const ChatTargetGroup = graphql(`
  fragment ChatTargetGroup on GroupConversation {
    id
    name
    participantCount
    participants(first: 4) {
      nodes {
        user {
          id
          name
          isViewer
        }
      }
    }
    viewerMembership {
      state
    }
    viewerSettings {
      archivedAt
    }
  }
`)

/** Something to open: a person to chat with, or a group. */
interface Target extends Choice {
  isGroup: boolean
  isArchived: boolean
}

export interface ChatTargetPickerProps {
  onOpen: (conversationId: string) => void
  onNewGroup: () => void
}

/** Finds people of the contact list, and groups and people the viewer has chatted with, archived ones too (S15-S22, S48). */
export function ChatTargetPicker({ onOpen, onNewGroup }: ChatTargetPickerProps) {
  const [{ query, first }, setSearch] = useState({ query: "", first: 20 })
  const [search] = useState(
    () => (query: string) => setSearch((last) => (last.query === query ? last : { query, first: 20 })),
  )
  const { found, foundFor, error } = useSearch(ChatTargets, { query, first, isBlank: query === "" })
  const [startDirectConversation, isStarting] = useStartDirectConversation()
  const [restoreGroup, isRestoring] = useRestoreGroup()
  const [refusal, setRefusal] = useState<string>()

  const nodes = found?.viewer.chatTargets.nodes ?? []
  const contacts = readFragment(
    ContactChoice,
    nodes.filter((node) => node.__typename === "Contact"),
  )
  const withEmail = needsEmails(query, contacts)
  const people: Target[] = []
  const groups = new Map<string, Target>()
  for (const node of nodes) {
    switch (node.__typename) {
      case "Contact": {
        const isArchived = Boolean(node.directConversation?.viewerSettings.archivedAt)
        const choice = contactChoice(readFragment(ContactChoice, node), withEmail)
        people.push({ ...choice, isGroup: false, isArchived, mark: isArchived ? "Archived" : undefined })
        break
      }
      case "DirectConversation":
        people.push(formerContact(node.peer, Boolean(node.viewerSettings.archivedAt)))
        break
      case "GroupConversation":
        groups.set(node.id, group(readFragment(ChatTargetGroup, node)))
    }
  }
  for (const node of found?.viewer.conversations?.nodes ?? []) {
    if (node.__typename === "GroupConversation") groups.set(node.id, group(readFragment(ChatTargetGroup, node)))
  }

  const choose = async (target: Target) => {
    if (isStarting || isRestoring) return
    setRefusal(undefined)
    if (target.isGroup && !target.isArchived) {
      onOpen(target.id)
      return
    }
    const { payload, error } = target.isGroup
      ? await restoreGroup({ conversationId: target.id })
      : await startDirectConversation({ userId: target.id })
    if (payload?.conversation) onOpen(payload.conversation.id)
    else setRefusal(error)
  }
  const targets = [...people, ...groups.values()]
  const hasMore = found?.viewer.chatTargets.pageInfo.hasNextPage === true && first < 100
  return (
    <div className="new-chat" aria-busy={isStarting || isRestoring}>
      <PeoplePicker
        sections={[
          { name: "People", choices: people },
          { name: "Groups", choices: [...groups.values()] },
        ]}
        foundFor={foundFor}
        error={refusal ?? error}
        onSearch={search}
        onChoose={(choice) => {
          const target = targets.find(({ id }) => id === choice.id)
          if (target) void choose(target)
        }}
        onMore={hasMore ? () => setSearch({ query, first: Math.min(first + 40, 100) }) : undefined}
        autoFocus
      />
      <Button variant="light" fullWidth leftSection={<PeopleIcon />} onClick={onNewGroup}>
        New group
      </Button>
    </div>
  )
}

/** A person who left the contact list; what was said with them is still there (E12). */
function formerContact(
  peer: { id: string; name: string; roleLabel: string; isAvailable: boolean },
  isArchived: boolean,
): Target {
  return {
    id: peer.id,
    name: peer.name,
    label: peer.roleLabel,
    detail: "Not in your contact list any more",
    picture: <Portrait name={peer.name} isAvailable={peer.isAvailable} />,
    isGroup: false,
    isArchived,
    mark: isArchived ? "Archived" : undefined,
  }
}

const lefts = { ACTIVE: undefined, LEFT: "You left", REMOVED: "You were removed" }

/** A group, with who is in it, to tell those of one name apart (E26). */
function group({
  id,
  name,
  participantCount,
  participants,
  viewerMembership,
  viewerSettings,
}: ChatTargetGroupFragment): Target {
  const isIn = viewerMembership.state === "ACTIVE"
  const others = participants.nodes.filter(({ user }) => !user.isViewer).slice(0, 3)
  const names = others.map(({ user }) => user.name).join(", ")
  const more = participantCount - others.length - (isIn ? 1 : 0)
  const isArchived = Boolean(viewerSettings.archivedAt)
  return {
    id,
    name,
    label: lefts[viewerMembership.state],
    detail: names === "" ? "Nobody else" : more > 0 ? `${names} and ${more} more` : names,
    picture: <Portrait name={name} isGroup />,
    isGroup: true,
    isArchived,
    isLeft: !isIn,
    mark: isArchived ? "Archived" : undefined,
  }
}
