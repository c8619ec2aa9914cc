// SPDX-License-Identifier: EUPL-1.2
/** A call and the meeting around it, as one thing: what is made when somebody joins, and made anew when their place changes. */
import type { LinkKey } from '../e2ee/key.ts';
import { TextSealer } from '../e2ee/text.ts';
import type { Ticket } from '../join.ts';
import type { Choice } from '../room/index.ts';
import { createRoom } from '../room/index.ts';
import type { RoomModel } from '../room/model.ts';
import type { Door } from './door.ts';
import { FileDesk } from './files.ts';
import type { Heard } from './heard.ts';
import { MeetingModel } from './model.ts';
import { meetingWire } from './socket.ts';

export interface Conference {
  model: RoomModel;
  meeting: MeetingModel;
  files: FileDesk;
}

export interface Place {
  choice: Omit<Choice, 'ticket' | 'onroom'>;
  door: Door;
  /** A ticket that was handed out inside, as for a breakout room. */
  ticket?: Ticket | undefined;
  key: LinkKey | undefined;
  /** Goes along from room to room. */
  heard: Heard;
  onmove(ticket: Ticket, name: string): void;
}

export function createConference({ choice, door, ticket: handed, key, heard, onmove }: Place): Conference {
  let last: Ticket | undefined;
  // A breakout room has no door: its ticket is used for as long as it opens. The meeting's own room has one.
  const enter = async () => (last = handed !== undefined && (last === undefined || handed.room !== choice.room) ? handed : await door.enter());
  const files: FileDesk = new FileDesk(() => meeting.value.room.policy.files, key !== undefined);
  const model = createRoom({ ...choice, key, ticket: enter, onroom: (room) => files.use(room) });
  // The meeting knows nobody who is not in the call.
  const connected = new Promise<void>((resolve) => {
    model.subscribe(({ phase }) => phase === 'connected' && resolve());
  });
  const meeting: MeetingModel = new MeetingModel({
    open: () => meetingWire(last?.room ?? choice.room),
    ticket: async (again) => {
      await connected;
      return again || last === undefined ? await enter() : last;
    },
    pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    cipher: key && new TextSealer(key, choice.room),
    heard,
    move: onmove,
  });
  model.subscribe(({ phase }) => phase === 'ended' && meeting.close());
  return { model, meeting, files };
}
