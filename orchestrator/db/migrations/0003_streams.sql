-- Several spools of one attempt in one log, and logs of which not every byte was hashed.

-- Positions by source: the main container first, then Berth's own words, then the services in the order of the spec;
-- zeros at the end are left out, so that one position is written in one way only.
alter table berth.attempts alter column raw_pos drop default;
alter table berth.attempts alter column raw_pos type bigint[]
    using case when raw_pos = 0 then '{}' else array[raw_pos] end;
alter table berth.attempts
    alter column raw_pos set default '{}',
    add column source_bytes bigint[] not null default '{}', -- output taken over, by source, as raw_pos
    add column log_unhashed boolean not null default false; -- bytes were passed over unread: log_sha256 stays null
update berth.attempts set source_bytes = array[log_bytes - lost_bytes] where log_bytes > lost_bytes;

-- One number cannot say where in which spool a chunk came from, and nobody asks.
alter table berth.log_chunks drop column raw_offset;
