-- Jobs, their attempts and their logs. Applied in one transaction by `berthd migrate`, forward only.

create table berth.cluster (
    one boolean primary key default true check (one),
    id  uuid not null default gen_random_uuid() -- io.berth.cluster: tells our things on an engine from others'
);
insert into berth.cluster default values;

-- Filled from the tables in proto/status.h by every migrate, so that the state machine is written once.
create table berth.statuses (
    name     text primary key,
    terminal boolean not null
);
create table berth.transitions (
    from_status text not null references berth.statuses,
    to_status   text not null references berth.statuses,
    primary key (from_status, to_status)
);

create table berth.orchestrators (
    name           text primary key,
    state_id       uuid not null, -- of the state directory: a second process with another one is refused
    version        text not null,
    slots          integer not null,
    used           integer not null default 0,
    started_at     timestamptz not null default now(),
    heartbeat_at   timestamptz not null default now(),
    lease          interval not null,
    detached_until timestamptz, -- after a clean exit with running jobs
    draining       boolean not null default false
);

-- Hot and small. What changes while a job runs is in no index but the partial ones on status, so that most
-- updates stay on their page.
create table berth.jobs (
    id                uuid primary key,
    tenant            text not null default 'default',
    name              text check (name !~ '[[:cntrl:]]'), -- it is shown on terminals
    status            text not null default 'queued', -- no foreign key: check_step() looks, and takes no row lock
    reason            text,
    message           text,
    priority          integer not null default 0,
    created_at        timestamptz not null default clock_timestamp(),
    run_at            timestamptz,
    queue_deadline_at timestamptz,
    cpus_milli        bigint not null default 0,
    memory_bytes      bigint, -- null: not known before the spec is checked (a row from SQL)
    spec              text not null,
    labels            jsonb not null default '{}',
    attempt           integer not null default 0 check (attempt between 0 and 1000), -- ATTEMPT_NUMBER_MAX
    orchestrator      text,
    cancel            smallint not null default 0, -- 1: asked for, 2: by force
    cancel_reason     text,
    started_at        timestamptz,
    finished_at       timestamptz,
    exit_code         integer,
    signal            integer,
    retry_of          uuid,
    idempotency_key   text,
    idempotency_hash  bytea,
    unique (tenant, idempotency_key)
) with (fillfactor = 70);
create index jobs_ready on berth.jobs (priority desc, created_at) where status = 'queued';
create index jobs_active on berth.jobs (orchestrator) where status in ('preparing', 'running', 'canceling', 'lost');
create index jobs_scheduled on berth.jobs (run_at) where status = 'scheduled';
create index jobs_queue_deadline on berth.jobs (queue_deadline_at) where status = 'queued' and queue_deadline_at is not null;
create index jobs_newest on berth.jobs (tenant, created_at desc, id desc);
create index jobs_labels on berth.jobs using gin (labels jsonb_path_ops);

create table berth.attempts (
    id              bigint generated always as identity primary key,
    job_id          uuid not null references berth.jobs on delete cascade,
    number          integer not null,
    token           bigint not null, -- fencing: whoever reports must show it
    orchestrator    text not null,
    claimed_at      timestamptz not null default clock_timestamp(),
    pulled_at       timestamptz,
    container_at    timestamptz,
    started_at      timestamptz,
    exited_at       timestamptz,
    cleaned_at      timestamptz,
    finished_at     timestamptz,
    deadline_at     timestamptz,
    status          text,   -- terminal, with the reason: how this attempt ended
    reason          text,
    message         text,
    exit_code       integer,
    signal          integer,
    image_digest    text,
    usage           jsonb,
    raw_pos         bigint not null default 0, -- taken over from the spool up to here; moved only from the old value
    log_bytes       bigint not null default 0, -- all that the attempt has written, after masking: the next offset
    stored_bytes    bigint not null default 0,
    lost_bytes      bigint not null default 0,
    log_limit       bigint not null,
    log_complete    boolean, -- null while the attempt goes on
    log_sha_state   bytea,   -- of the running hash over all bytes, stored or not
    log_sha256      bytea,
    unique (job_id, number)
) with (fillfactor = 70);
create index attempts_open on berth.attempts (orchestrator) where finished_at is null;
create sequence berth.tokens;

-- A run of output: `bytes` is what lies at log_offset, both streams in the order they came; `segments` cuts it up:
-- per segment u32 length, u8 stream, 3 bytes zero, u64 wall clock in microseconds, little-endian (16 bytes).
-- A row with null bytes is a gap: `gap_bytes` of them are not stored, for `gap_cause`. What no row covers has
-- passed between head and tail: a gap for log_limit (orchestrator/db/ship.h).
create table berth.log_chunks (
    attempt_id  bigint not null,
    created_on  date not null, -- day of attempts.claimed_at in UTC: old days are dropped as partitions
    log_offset  bigint not null,
    raw_offset  bigint not null,
    bytes       bytea,
    segments    bytea,
    gap_bytes   bigint,
    gap_cause   text,
    primary key (attempt_id, created_on, log_offset)
) partition by range (created_on);
-- Partitions inherit it. A server built without lz4 keeps its own default.
do $$ begin
    alter table berth.log_chunks alter column bytes set compression lz4, alter column segments set compression lz4;
exception when feature_not_supported then null;
end $$;
create table berth.log_chunks_default partition of berth.log_chunks default;

create table berth.events (
    id      bigint generated always as identity primary key,
    job_id  uuid not null,
    at      timestamptz not null default clock_timestamp(),
    attempt integer not null,
    status  text not null,
    reason  text
);
create index events_job on berth.events (job_id, id);

-- The database refuses a step that proto/status.h does not allow, and remembers every step.
create function berth.check_step() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if not exists (select from berth.statuses where name = new.status) then
            raise exception 'job % cannot begin as %', new.id, new.status using errcode = 'BE001';
        end if;
    elsif new.status = old.status then
        return null;
    elsif not exists (
        select from berth.transitions where from_status = old.status and to_status = new.status) then
        raise exception 'job % cannot go from % to %', new.id, old.status, new.status using errcode = 'BE001';
    end if;
    insert into berth.events (job_id, attempt, status, reason) values (new.id, new.attempt, new.status, new.reason);
    return null;
end $$;
create trigger jobs_step after insert or update of status on berth.jobs
    for each row execute function berth.check_step();

-- Microseconds since 1970 as the hosts' clocks give them; 0 stands for none.
create function berth.from_us(us bigint) returns timestamptz language sql stable as $$
    select 'epoch'::timestamptz + nullif(us, 0) * interval '1 microsecond'
$$;

-- RFC 9562, section 5.7: 48 bits of milliseconds before the random bits of a version 4, whose 0100 becomes 0111
-- (bits 52 and 53 as set_bit counts); its variant stays.
create function berth.uuid7() returns uuid language sql volatile as $$
    select encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                from 1 for 6),
            52, 1), 53, 1), 'hex')::uuid
$$;

-- A job put in by SQL goes through the same checks when it is claimed; a bad one ends as errored/spec_refused.
create function berth.submit(spec jsonb, tenant text default 'default') returns uuid language plpgsql as $$
declare
    job uuid := berth.uuid7();
begin
    insert into berth.jobs (id, tenant, spec) values (job, tenant, spec::text);
    notify berth_work, 'jobs';
    return job;
end $$;
