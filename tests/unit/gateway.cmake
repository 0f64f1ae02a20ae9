berth_test(NAME test_job_view LABEL unit SOURCES test_job_view.c USES berth_gateway)
berth_test(NAME test_gateway_query LABEL unit SOURCES test_gateway_query.c USES berth_gateway)
berth_test(NAME test_gateway_route LABEL unit SOURCES test_gateway_route.c USES berth_gateway)
berth_test(NAME test_gateway_hub LABEL unit SOURCES test_gateway_hub.c USES berth_gateway)
