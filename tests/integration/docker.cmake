berth_test(NAME test_docker_engine LABEL integration TIMEOUT 180
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_docker_engine.c
    USES berth_docker)
