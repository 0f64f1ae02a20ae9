/*
 * migrate - brings the schema `berth` to this program's version.
 *
 * Embedded files 0001_*.sql …, one transaction each, under an advisory lock, recorded in
 * berth.schema_migrations (version, name, SHA-256, time). Refuses when an applied file's checksum differs or
 * the database is newer than the program. After each run the tables berth.statuses and berth.transitions are
 * what proto/status.h says.
 */
#ifndef BERTH_DB_MIGRATE_H
#define BERTH_DB_MIGRATE_H

#include "orchestrator/db/db.h"

/* Returns how many were applied. */
int migrate_run(struct db *db, const struct ctx *ctx, struct err *err);
/* 0: the schema is this program's version; else ERR_DB/ERR_USAGE with the remedy ("run berthd migrate"). */
int migrate_check(struct db *db, const struct ctx *ctx, struct err *err);
/* berth.cluster's id. */
int migrate_cluster_id(struct db *db, const struct ctx *ctx, char out[37], struct err *err);

#endif
