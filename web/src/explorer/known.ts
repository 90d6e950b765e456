import type { Api } from "./api"

/** Something with an id, and the name by which a person knows it. */
export interface Named {
  id: string
  name: string
  /** Of a group: whether the person owns it. */
  isOwn?: boolean
}

/** What is known of the person who is signed in, for variables that mean something to them. */
export interface Known {
  name: string
  roleLabel: string
  clinic: string
  /** A contact, one with whom nothing was said yet if there is one, and a piece of their address to search for. */
  contact?: Named & { piece: string }
  /** Contacts to make a group of. */
  colleagues: Named[]
  /** A conversation to write in: a direct one if there is one. */
  conversation?: Named
  /** A conversation with something unread, if there is one. */
  unread?: Named & { readCursor: string; lastMessageId: string | null }
  /** A group to look at and to change: of the person's own, if they have one. */
  group?: Named
  /** Contacts who are not in the group. */
  newcomers: Named[]
  /** Somebody in the group whom the person may remove. */
  removable?: Named
  /** A group to leave: one of somebody else's, if there is one. */
  leaving?: Named
  /** A group to delete: the one that the person made last, if they did. */
  deleting?: Named
}

export const theirs = `
  query Theirs {
    viewer {
      name
      user {
        roleLabel
      }
      clinic {
        name
      }
      contacts(first: 50) {
        nodes {
          name
          email
          user {
            id
          }
          directConversation {
            id
          }
        }
      }
      conversations(first: 50) {
        nodes {
          id
          createdAt
          unreadCount
          viewerReadCursor
          lastMessage {
            id
          }
          viewerMembership {
            state
          }
          ... on DirectConversation {
            peer {
              name
            }
          }
          ... on GroupConversation {
            name
            owner {
              isViewer
            }
          }
        }
      }
    }
  }
`

interface Theirs {
  viewer: {
    name: string
    user: { roleLabel: string }
    clinic: { name: string }
    contacts: {
      nodes: { name: string; email: string; user: { id: string }; directConversation: { id: string } | null }[]
    }
    conversations: {
      nodes: {
        id: string
        createdAt: string
        unreadCount: number
        viewerReadCursor: string
        lastMessage: { id: string } | null
        viewerMembership: { state: string }
        peer?: { name: string }
        name?: string
        owner?: { isViewer: boolean } | null
      }[]
    }
  }
}

export const inside = `
  query Inside($group: ID!) {
    viewer {
      contacts(first: 2, notInConversation: $group) {
        nodes {
          name
          user {
            id
          }
        }
      }
    }
    node(id: $group) {
      ... on GroupConversation {
        participants(first: 100) {
          nodes {
            viewerCanRemove
            user {
              id
              name
            }
          }
        }
      }
    }
  }
`

interface Inside {
  viewer: { contacts: { nodes: { name: string; user: { id: string } }[] } }
  node: { participants?: { nodes: { viewerCanRemove: boolean; user: Named }[] } } | null
}

/** Asks the API once for what the tabs are filled with. */
export async function getToKnow(api: Api): Promise<Known> {
  const { viewer } = await api.ask<Theirs>(theirs)
  const contacts = viewer.contacts.nodes.map(({ user, name, email, directConversation }) => ({
    id: user.id,
    name,
    piece: email.split("@")[0]?.split(".").at(-1) ?? "",
    isNew: !directConversation,
  }))
  const conversations = viewer.conversations.nodes.map((one) => ({
    ...one,
    isGroup: !one.peer,
    isOwn: one.owner?.isViewer ?? false,
    name: one.peer ? `with ${one.peer.name}` : (one.name ?? ""),
    readCursor: one.viewerReadCursor,
    lastMessageId: one.lastMessage?.id ?? null,
  }))
  const current = conversations.filter(({ viewerMembership }) => viewerMembership.state === "ACTIVE")
  const groups = current.filter(({ isGroup }) => isGroup)
  const own = groups.filter(({ isOwn }) => isOwn).sort((one, other) => (one.createdAt < other.createdAt ? 1 : -1))
  const group = own.at(-1) ?? groups[0]
  const { viewer: outside, node } = group ? await api.ask<Inside>(inside, { group: group.id }) : nobody
  return {
    name: viewer.name,
    roleLabel: viewer.user.roleLabel,
    clinic: viewer.clinic.name,
    contact: contacts.find(({ isNew }) => isNew) ?? contacts[0],
    colleagues: contacts.slice(0, 2),
    conversation: current.find(({ isGroup }) => !isGroup) ?? current[0],
    unread:
      current.find(({ unreadCount }) => unreadCount > 1) ??
      current.find(({ unreadCount }) => unreadCount > 0) ??
      current[0],
    group,
    newcomers: outside.contacts.nodes.map(({ name, user }) => ({ id: user.id, name })),
    removable: node?.participants?.nodes.find(({ viewerCanRemove }) => viewerCanRemove)?.user,
    leaving: groups.find(({ isOwn }) => !isOwn) ?? group,
    deleting: own[0] ?? group,
  }
}

const nobody: Inside = { viewer: { contacts: { nodes: [] } }, node: null }
