berth_test(NAME test_client LABEL unit SOURCES test_client.c USES berth_client)
