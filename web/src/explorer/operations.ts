import { clientKey } from "../graphql/clientKey"
import type { Known, Named } from "./known"

/** A tab of the explorer: operations that belong together, and variables that they can be run with right away. */
export interface Tab {
  query: string
  /** JSON in which comments say whom and what the ids stand for. */
  variables: string
}

/** The tabs of the explorer, the story of the help page from its beginning to its end, for a person of whom this much is known. */
export function tabs(known: Known): Tab[] {
  const { conversation, unread, group, leaving, deleting, contact, colleagues, newcomers, removable } = known
  const adding = newcomers.length > 0 ? newcomers : colleagues
  const key = (): Line => ["clientKey", clientKey(), "a fresh one after each run"]
  return [
    { query: whoAmI, variables: "" },
    {
      query: myContacts,
      variables: variables(["query", contact?.piece ?? "", "pieces of names and addresses, all must occur"]),
    },
    { query: recentChats, variables: variables(["first", 20], ["after", null, "or endCursor of the page before"]) },
    {
      query: newChat,
      variables: variables([
        "query",
        contact?.piece ?? "",
        group && `or a piece of a group’s name, such as ${group.name}`,
      ]),
    },
    {
      query: startConversation,
      variables: variables(key(), named("userId", contact, "the id of a user in MyContacts")),
    },
    {
      query: sendMessage,
      variables: variables(key(), named("conversationId", conversation, "an id from RecentChats"), [
        "body",
        "Hello from the explorer 🙂",
      ]),
    },
    {
      query: chatHistory,
      variables: variables(
        named("conversationId", unread, "an id from RecentChats"),
        ["readCursor", unread?.readCursor ?? null, "its viewerReadCursor"],
        key(),
        ["messageId", unread?.lastMessageId ?? "", "for MarkRead: its last message"],
      ),
    },
    {
      query: createGroup,
      variables: variables(
        key(),
        ["name", "Flu clinic"],
        ["userIds", colleagues.map(({ id }) => id), list(colleagues)],
      ),
    },
    {
      query: participants,
      variables: variables(named("conversationId", group, "the id of a group"), ["first", 20], ["after", null]),
    },
    {
      query: addWhom,
      variables: variables(
        named("conversationId", group, "the id of a group"),
        ["query", "", "or a piece of a name or address"],
        key(),
        [
          "userIds",
          adding.map(({ id }) => id),
          newcomers.length > 0 ? list(adding) : `${list(adding)}: all are in it already`,
        ],
      ),
    },
    {
      query: removeWhom,
      variables: variables(
        named("conversationId", group, "the id of a group"),
        key(),
        named("userId", removable, "the id of a user in the group whom you may remove"),
      ),
    },
    {
      query: muteChat,
      variables: variables(key(), named("conversationId", conversation, "an id from RecentChats"), [
        "until",
        null,
        "or a time within a year",
      ]),
    },
    {
      query: archiveChat,
      variables: variables(key(), named("conversationId", conversation, "an id from RecentChats")),
    },
    { query: leaveWhichGroup, variables: variables(named("conversationId", leaving, "the id of a group"), key()) },
    { query: deleteWhichGroup, variables: variables(named("conversationId", deleting, "the id of a group"), key()) },
    {
      query: live,
      variables: variables(
        ["after", null, "or the cursor of an event, to go on behind it"],
        named("conversationId", conversation, "an id from RecentChats"),
      ),
    },
    { query: whatMayIDo, variables: variables(named("conversationId", leaving, "any id from RecentChats")) },
  ]
}

type Line = [name: string, value: unknown, comment?: string]

function named(name: string, what: Named | undefined, missing: string): Line {
  return [name, what?.id ?? "", what ? `${what.name}${what.isOwn ? ", which you own" : ""}` : missing]
}

function list(people: Named[]): string {
  return people.map(({ name }) => name).join(", ")
}

/** Variables as JSON, each on a line of its own with a comment behind it. */
function variables(...lines: Line[]): string {
  const written = lines.map(([name, value, comment], i) => {
    const comma = i < lines.length - 1 ? "," : ""
    return `  ${JSON.stringify(name)}: ${JSON.stringify(value)}${comma}${comment ? ` // ${comment.replace(/\s+/g, " ")}` : ""}\n`
  })
  return `{\n${written.join("")}}`
}

const whoAmI = `# Who am I, and what is unread? The count is the badge of the chat bubble.
#
# Run it with the play button or Ctrl-Enter. Where a tab has several operations, the button asks which one, and Ctrl-Enter runs the one that the caret is in.
query WhoAmI {
  viewer {
    name
    email
    user {
      id
      roleLabel
      kind
    }
    clinic {
      name
      supportContact
      groupSizeLimit
      manageParticipants
    }
    waitingRooms {
      nodes {
        name
      }
    }
    unreadConversationCount
    unreadMessageCount
    conversations(filter: { unread: true }) {
      nodes {
        ...Named
        unreadCount
        lastMessage {
          text
          sentAt
          sender {
            name
          }
        }
      }
    }
  }
}

fragment Named on Conversation {
  id
  ... on DirectConversation {
    peer {
      name
    }
  }
  ... on GroupConversation {
    name
  }
}
`

const myContacts = `# My contact list, or address book: everybody who shares a waiting room with me, by name. Nobody adds anybody: it follows from the rooms. Who is in none of mine is not there.
query MyContacts {
  viewer {
    contacts(first: 20) {
      nodes {
        ...Entry
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
}

# Pieces of a name or e-mail address, whatever their case and accents.
query FindContacts($query: String!) {
  viewer {
    contacts(query: $query) {
      nodes {
        ...Entry
      }
    }
  }
}

fragment Entry on Contact {
  name
  email
  user {
    id
    roleLabel
    isAvailable
  }
  sharedWaitingRooms {
    nodes {
      name
    }
  }
  directConversation {
    id
  }
}
`

const recentChats = `# The chats dropdown: the conversations that were active last.
query RecentChats {
  viewer {
    conversations(first: 5) {
      nodes {
        ...Row
      }
    }
  }
}

# See All Chats, page by page. Follow events(after: eventCursor) to miss nothing from here on.
query AllChats($first: Int!, $after: Cursor) {
  viewer {
    conversations(first: $first, after: $after) {
      nodes {
        ...Row
      }
      pageInfo {
        hasNextPage
        endCursor
      }
      eventCursor
    }
  }
}

fragment Row on Conversation {
  __typename
  id
  ... on DirectConversation {
    peer {
      name
      roleLabel
      isAvailable
    }
  }
  ... on GroupConversation {
    name
    participantCount
  }
  unreadCount
  viewerSettings {
    isMuted
  }
  lastActivityAt
  lastMessage {
    text
    sender {
      name
    }
    files {
      name
    }
  }
}
`

const newChat = `# New Chat: type a name, an e-mail address or the name of a group. Contacts come first, then groups, archived ones too, and chats with people who left the contact list. Nothing found is an empty list: "no result".
query NewChat($query: String!) {
  viewer {
    chatTargets(query: $query) {
      nodes {
        __typename
        ... on Contact {
          name
          email
          user {
            id
            roleLabel
          }
          directConversation {
            id
          }
        }
        ... on GroupConversation {
          id
          name
          viewerMembership {
            state
          }
          viewerSettings {
            archivedAt
          }
        }
        ... on DirectConversation {
          id
          peer {
            name
            isActive
          }
        }
      }
    }
  }
}
`

const startConversation = `# Starts the one direct conversation with a contact, or opens it if there is one already. It is in the other person's list from the first message on.
mutation StartConversation($clientKey: String!, $userId: ID!) {
  startDirectConversation(input: { clientKey: $clientKey, userId: $userId }) {
    conversation {
      id
      peer {
        name
        isAvailable
      }
      viewerCanSend
      messages(last: 5) {
        nodes {
          text
          sender {
            name
          }
        }
      }
    }
    userErrors {
      code
      message
    }
  }
}
`

const sendMessage = `# Sends a message. Once this answers, the message is on disk. What a person can run into is in userErrors, with a code and a sentence.
mutation SendMessage($clientKey: String!, $conversationId: ID!, $body: String!) {
  sendMessage(input: { clientKey: $clientKey, conversationId: $conversationId, body: $body }) {
    message {
      ...Line
    }
    userErrors {
      code
      message
      field
    }
  }
}

# The same call twice, as after an answer that was lost: with one client key it is done once.
mutation SendItTwice($clientKey: String!, $conversationId: ID!, $body: String!) {
  once: sendMessage(input: { clientKey: $clientKey, conversationId: $conversationId, body: $body }) {
    message {
      ...Line
    }
  }
  again: sendMessage(input: { clientKey: $clientKey, conversationId: $conversationId, body: $body }) {
    message {
      ...Line
    }
  }
}

# Or send a file: this says where its bytes go, by the tus protocol. Then sendMessage(fileIds:) sends it.
mutation AnnounceFile($clientKey: String!) {
  createUpload(input: { clientKey: $clientKey, name: "rota.txt", size: 14, mediaType: "text/plain" }) {
    file {
      id
      state
      upload {
        url
        expiresAt
      }
    }
    userErrors {
      code
      message
    }
  }
}

fragment Line on Message {
  id
  seq
  text
  sentAt
  clientKey
}
`

const chatHistory = `# The history around the first unread message: what was read before it, and what is new. readCursor is the viewerReadCursor of the conversation; any message's cursor will do as well.
query ChatHistory($conversationId: ID!, $readCursor: Cursor) {
  node(id: $conversationId) {
    ... on Conversation {
      unreadCount
      viewerReadCursor
      read: messages(last: 5, before: $readCursor) {
        nodes {
          ...Line
        }
        pageInfo {
          hasPreviousPage
          startCursor
        }
      }
      unread: messages(first: 20, after: $readCursor) {
        nodes {
          ...Line
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
}

# Reading is told to the person's other devices, and to nobody else.
mutation MarkRead($clientKey: String!, $messageId: ID!) {
  markRead(input: { clientKey: $clientKey, messageId: $messageId }) {
    conversation {
      unreadCount
      viewerReadCursor
    }
    userErrors {
      code
      message
    }
  }
}

fragment Line on Message {
  id
  seq
  kind
  text
  sentAt
  sender {
    name
  }
}
`

const createGroup = `# Creates a group, of which you are the owner. Everybody in it must be in your contact list. Its id is good for the tabs behind this one.
mutation CreateGroup($clientKey: String!, $name: String!, $userIds: [ID!]!) {
  createGroup(input: { clientKey: $clientKey, name: $name, userIds: $userIds }) {
    group {
      id
      name
      owner {
        name
      }
      participantCount
      messages(last: 5) {
        nodes {
          kind
          text
        }
      }
    }
    userErrors {
      code
      message
      field
    }
  }
}
`

const participants = `# Who is in a group, who joined first coming first.
query Participants($conversationId: ID!, $first: Int!, $after: Cursor) {
  node(id: $conversationId) {
    ... on GroupConversation {
      name
      participantCount
      viewerCanAddParticipants
      viewerCanRemoveParticipants
      participants(first: $first, after: $after) {
        nodes {
          role
          joinedAt
          viewerCanRemove
          user {
            id
            name
            roleLabel
            isAvailable
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
}
`

const addWhom = `# Add a participant. The pen beside Participants: search among the contacts who are not in the group …
query AddWhom($conversationId: ID!, $query: String!) {
  viewer {
    contacts(query: $query, notInConversation: $conversationId) {
      nodes {
        name
        email
        user {
          id
          roleLabel
        }
      }
    }
  }
}

# … and the Add button. Each person has an outcome of their own, and everybody in the group sees a line about it.
mutation AddParticipants($clientKey: String!, $conversationId: ID!, $userIds: [ID!]!) {
  addParticipants(input: { clientKey: $clientKey, conversationId: $conversationId, userIds: $userIds }) {
    outcomes {
      userId
      outcome
    }
    group {
      name
      participantCount
    }
    userErrors {
      code
      message
    }
  }
}
`

const removeWhom = `# Remove a participant. Look first: whom may I remove? Never the owner, and not myself.
query RemoveWhom($conversationId: ID!) {
  node(id: $conversationId) {
    ... on GroupConversation {
      name
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

# This removes the person of userId, for everybody to see. AddParticipants brings them back.
mutation RemoveParticipant($clientKey: String!, $conversationId: ID!, $userId: ID!) {
  removeParticipant(input: { clientKey: $clientKey, conversationId: $conversationId, userId: $userId }) {
    group {
      name
      participantCount
      lastMessage {
        text
      }
    }
    userErrors {
      code
      message
    }
  }
}
`

const muteChat = `# Mute Notifications: no sound, and no chat box that pops up. Messages still arrive. Only you see it. Run Live in a second window to hear what notify says then.
mutation MuteChat($clientKey: String!, $conversationId: ID!, $until: DateTime) {
  muteConversation(input: { clientKey: $clientKey, conversationId: $conversationId, until: $until }) {
    conversation {
      ...Settings
    }
    userErrors {
      code
      message
    }
  }
}

mutation UnmuteChat($clientKey: String!, $conversationId: ID!) {
  unmuteConversation(input: { clientKey: $clientKey, conversationId: $conversationId }) {
    conversation {
      ...Settings
    }
    userErrors {
      code
      message
    }
  }
}

fragment Settings on Conversation {
  id
  viewerSettings {
    isMuted
    mutedUntil
  }
}
`

const archiveChat = `# Archive chat: it leaves your list, and nobody else hears of it.
mutation ArchiveChat($clientKey: String!, $conversationId: ID!) {
  archiveConversation(input: { clientKey: $clientKey, conversationId: $conversationId }) {
    conversation {
      ...Settings
    }
    userErrors {
      code
      message
    }
  }
}

# What is archived. NewChat finds it too.
query ArchivedChats {
  viewer {
    conversations(filter: { archived: true }) {
      nodes {
        ...Settings
        ... on DirectConversation {
          peer {
            name
          }
        }
        ... on GroupConversation {
          name
        }
      }
    }
  }
}

# Back into the list. So does starting the conversation again, or a new message.
mutation UnarchiveChat($clientKey: String!, $conversationId: ID!) {
  unarchiveConversation(input: { clientKey: $clientKey, conversationId: $conversationId }) {
    conversation {
      ...Settings
    }
    userErrors {
      code
      message
    }
  }
}

fragment Settings on Conversation {
  id
  viewerSettings {
    archivedAt
  }
}
`

const leaveWhichGroup = `# Leave group. Look first at what you are about to leave: only others can add you again.
query LeaveWhichGroup($conversationId: ID!) {
  node(id: $conversationId) {
    ... on GroupConversation {
      name
      viewerCanLeave
      viewerMembership {
        state
        notice
      }
      owner {
        name
      }
      participantCount
    }
  }
}

# The transcript ends with "You left the group.", and you cannot send chat to it any more. An owner who leaves hands the group over.
mutation LeaveGroup($clientKey: String!, $conversationId: ID!) {
  leaveGroup(input: { clientKey: $clientKey, conversationId: $conversationId }) {
    group {
      name
      viewerMembership {
        state
        notice
      }
      viewerCanSend
      viewerCannot(action: SEND) {
        message
      }
      lastMessage {
        text
      }
    }
    userErrors {
      code
      message
    }
  }
}
`

const deleteWhichGroup = `# Delete group. Look first: is it the one you mean, and are you its owner? Better delete one of your own making, from CreateGroup: put its id into the variables.
query DeleteWhichGroup($conversationId: ID!) {
  node(id: $conversationId) {
    ... on GroupConversation {
      name
      viewerCanDelete
      owner {
        name
      }
      participantCount
    }
  }
}

# It disappears from everybody's list, for good. Whoever is not the owner gets NOT_GROUP_OWNER.
mutation DeleteGroup($clientKey: String!, $conversationId: ID!) {
  deleteGroup(input: { clientKey: $clientKey, conversationId: $conversationId }) {
    deletedConversationId
    userErrors {
      code
      message
    }
  }
}
`

const live = `# Live: everything that happens for you, over a WebSocket. Let it run here, open the explorer in a second window as another person, and send something. What comes is shown newest first. Another tab stops it, and so does the stop button.
subscription Live($after: Cursor) {
  events(after: $after) {
    __typename
    cursor
    ... on MessageAdded {
      conversation {
        ...Named
        unreadCount
      }
      message {
        seq
        kind
        text
        sender {
          name
        }
      }
      notify {
        popup
        sound
      }
    }
    ... on ConversationAdded {
      conversation {
        ...Named
      }
    }
    ... on ConversationChanged {
      conversation {
        ...Named
        unreadCount
        viewerSettings {
          isMuted
          archivedAt
        }
      }
    }
    ... on ConversationLeft {
      reason
      message {
        text
      }
    }
    ... on GroupDeleted {
      conversationId
    }
  }
}

# The new lines of one conversation. It ends when you are not in it any more.
subscription LiveInOneChat($conversationId: ID!, $after: Cursor) {
  messageAdded(conversationId: $conversationId, after: $after) {
    cursor
    message {
      text
      sender {
        name
      }
    }
  }
}

# Groups that disappear.
subscription LiveGroupDeleted($after: Cursor) {
  groupDeleted(after: $after) {
    cursor
    conversationId
  }
}

fragment Named on Conversation {
  id
  ... on DirectConversation {
    peer {
      name
    }
  }
  ... on GroupConversation {
    name
  }
}
`

const whatMayIDo = `# What may I do here, and why not? Each answer is the error that the mutation would give.
query WhatMayIDo($conversationId: ID!) {
  node(id: $conversationId) {
    ... on Conversation {
      viewerMembership {
        state
        notice
      }
      viewerCanSend
      viewerCanAddParticipants
      viewerCanRemoveParticipants
      viewerCanRename
      viewerCanTransferOwnership
      viewerCanMute
      viewerCanArchive
      viewerCanLeave
      viewerCanDelete
      send: viewerCannot(action: SEND) {
        ...Why
      }
      add: viewerCannot(action: ADD_PARTICIPANTS) {
        ...Why
      }
      remove: viewerCannot(action: REMOVE_PARTICIPANTS) {
        ...Why
      }
      rename: viewerCannot(action: RENAME) {
        ...Why
      }
      leave: viewerCannot(action: LEAVE) {
        ...Why
      }
      delete: viewerCannot(action: DELETE) {
        ...Why
      }
    }
    ... on GroupConversation {
      name
    }
    ... on DirectConversation {
      peer {
        name
      }
    }
  }
}

fragment Why on UserError {
  code
  message
}
`
