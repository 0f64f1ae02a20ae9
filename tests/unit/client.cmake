berth_test(NAME test_client LABEL unit SOURCES test_client.c USES berth_client)
berth_test(NAME test_run_flags LABEL unit SOURCES test_run_flags.c USES berth_client)
