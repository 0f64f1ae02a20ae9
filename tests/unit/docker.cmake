berth_test(NAME test_docker_pure LABEL unit
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_docker_pure.c
    USES berth_docker)
berth_test(NAME test_docker_faults LABEL unit TIMEOUT 300
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_docker_faults.c ${CMAKE_CURRENT_LIST_DIR}/../support/fake_engine.c
    USES berth_docker)
berth_test(NAME test_docker_settings LABEL unit
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_docker_settings.c ${CMAKE_CURRENT_LIST_DIR}/../support/fake_engine.c
    USES berth_docker)
