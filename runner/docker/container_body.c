#include "runner/docker/container_body.h"

#include <string.h>

#include "base/json.h"
#include "runner/docker/doc.h"

static json_t *mount_json(struct doc_body *body, const struct container_mount *mount) {
    static const char *const type_names[] = {
        [CONTAINER_MOUNT_BIND] = "bind",
        [CONTAINER_MOUNT_VOLUME] = "volume",
        [CONTAINER_MOUNT_TMPFS] = "tmpfs",
    };
    json_t *object = json_object();
    doc_put_text(body, object, "Type", type_names[mount->type]);
    doc_put_text(body, object, "Source", mount->source);
    doc_put_text(body, object, "Target", mount->target);
    doc_put(body, object, "ReadOnly", json_boolean(mount->read_only));
    if (mount->type == CONTAINER_MOUNT_TMPFS && mount->tmpfs_bytes) {
        json_t *options = json_object();
        doc_put_number(body, options, "SizeBytes", mount->tmpfs_bytes);
        doc_put(body, object, "TmpfsOptions", options);
    }
    return object;
}

static void put_limits(struct doc_body *body, json_t *host, const struct container_spec *spec) {
    doc_put_number(body, host, "Memory", spec->memory_bytes);
    doc_put_number(body, host, "MemorySwap",
                   spec->memory_bytes); /* memory and swap together: none of the latter */
    doc_put_number(body, host, "NanoCpus", spec->nano_cpus);
    doc_put_number(body, host, "PidsLimit", spec->pids_limit);
    doc_put_number(body, host, "ShmSize", spec->shm_bytes);
    doc_put_number(body, host, "OomScoreAdj", spec->oom_score_adj);
    if (spec->nofile) {
        json_t *limit = json_object(), *limits = json_array();
        doc_put_text(body, limit, "Name", "nofile");
        doc_put_number(body, limit, "Soft", spec->nofile);
        doc_put_number(body, limit, "Hard", spec->nofile);
        if (json_array_append_new(limits, limit) < 0)
            body->bad = true;
        doc_put(body, host, "Ulimits", limits);
    }
}

/* What no job may change. */
static void put_confinement(struct doc_body *body, json_t *host, const struct container_spec *spec) {
    static const char *const all[] = {"ALL", NULL}, *const no_new_privileges[] = {"no-new-privileges", NULL};
    json_t *log = json_object(), *restart = json_object();
    doc_put(body, host, "Privileged", json_false());
    doc_put(body, host, "CapDrop", doc_texts(body, all));
    doc_put(body, host, "CapAdd", doc_texts(body, spec->cap_add));
    doc_put(body, host, "SecurityOpt", doc_texts(body, no_new_privileges));
    doc_put(body, host, "ReadonlyRootfs", json_boolean(spec->read_only));
    doc_put(body, host, "PublishAllPorts", json_false());
    doc_put(body, host, "AutoRemove", json_false());
    doc_put(body, host, "Init", json_false()); /* also where the daemon's own default is to have one */
    doc_put_text(body, log, "Type", "none");
    doc_put(body, host, "LogConfig", log);
    doc_put_text(body, restart, "Name", "no");
    doc_put(body, host, "RestartPolicy", restart);
}

static json_t *host_json(struct doc_body *body, const struct container_spec *spec) {
    json_t *host = json_object(), *mounts = json_array();
    put_limits(body, host, spec);
    put_confinement(body, host, spec);
    doc_put_text(body, host, "CgroupParent", spec->cgroup_parent);
    doc_put_text(body, host, "NetworkMode", spec->network_mode);
    if (spec->tmpfs.count)
        doc_put(body, host, "Tmpfs", doc_pairs(body, spec->tmpfs));
    for (size_t i = 0; i < spec->mount_count; i++)
        if (json_array_append_new(mounts, mount_json(body, &spec->mounts[i])) < 0)
            body->bad = true;
    doc_put(body, host, "Mounts", mounts);
    return host;
}

/* What the image says about its health is run by berth-init where somebody waits for it, and nowhere else. */
static json_t *no_health_json(struct doc_body *body) {
    static const char *const none[] = {"NONE", NULL};
    json_t *health = json_object();
    doc_put(body, health, "Test", doc_texts(body, none));
    return health;
}

static json_t *networking_json(struct doc_body *body, const struct container_spec *spec) {
    json_t *endpoint = json_object(), *endpoints = json_object(), *networking = json_object();
    doc_put(body, endpoint, "Aliases", doc_texts(body, spec->network_aliases));
    doc_put(body, endpoints, spec->network_mode, endpoint);
    doc_put(body, networking, "EndpointsConfig", endpoints);
    return networking;
}

int container_body(const struct container_spec *spec, json_t **ret_body, struct err *err) {
    if (!spec->name || !spec->image || (spec->network_aliases && !spec->network_mode))
        return err_set(err, ERR_BUG, 0,
                       "container spec: without name or image, or aliases without a network");
    AUTO_JSON json_t *root = json_object();
    struct doc_body body = {.root = root};
    doc_put_text(&body, root, "Image", spec->image);
    if (spec->entrypoint)
        doc_put(&body, root, "Entrypoint", doc_texts(&body, spec->entrypoint));
    if (spec->cmd)
        doc_put(&body, root, "Cmd", doc_texts(&body, spec->cmd));
    doc_put_text(&body, root, "User", spec->user);
    doc_put_text(&body, root, "WorkingDir", spec->workdir);
    doc_put_text(&body, root, "Hostname", spec->hostname);
    doc_put_text(&body, root, "StopSignal", spec->stop_signal);
    doc_put(&body, root, "Healthcheck", no_health_json(&body));
    doc_put(&body, root, "OpenStdin", json_false());
    doc_put(&body, root, "Tty", json_false());
    doc_put(&body, root, "Labels", doc_pairs(&body, spec->labels));
    doc_put(&body, root, "HostConfig", host_json(&body, spec));
    if (spec->network_aliases)
        doc_put(&body, root, "NetworkingConfig", networking_json(&body, spec));
    if (doc_body_check(&body, "container spec", err) < 0)
        return -1;
    *ret_body = json_incref(root);
    return 0;
}
